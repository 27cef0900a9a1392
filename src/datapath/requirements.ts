// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from "node:fs";
import { type Feature, features, haveFeature, loadNothing } from "#kernel/bpf/features.ts";
import { ProgramType } from "#kernel/bpf/kinds.ts";
import { closeFd } from "#kernel/fd.ts";
import { errnoText } from "#kernel/libc.ts";
import { addClsact, setBpfFilter } from "#kernel/netlink/filter.ts";
import { type Netlink, openNetlink } from "#kernel/netlink/handle.ts";
import { addVeth, addVxlan, linkIndex, setLink } from "#kernel/netlink/link.ts";
import { addRoute } from "#kernel/netlink/route.ts";
import { inFreshNetns } from "#kernel/netns.ts";
import { assertSysctlsWritable } from "#kernel/sysctl.ts";
import { errorText } from "#lib/errors.ts";
import type { Address, Family, Prefix } from "#model/ip.ts";

/** One thing the datapath needs of a node, and what is wrong with it; `problem` undefined: it is there. */
export interface Requirement {
  readonly what: string;
  readonly problem: string | undefined;
  /** What to do about a problem. */
  readonly hint: string;
  /** Without it no agent starts; else something is slower or missing, and the problem says what. */
  readonly fatal: boolean;
}

export interface RequirementOptions {
  readonly families: readonly Family[];
  readonly tunnel: boolean;
}

/** Bits of capabilities(7). CAP_BPF and CAP_PERFMON may be had by CAP_SYS_ADMIN. */
const capabilities = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21, CAP_PERFMON: 38, CAP_BPF: 39 } as const;

/**
 * Asks this node for everything the datapath needs, by trying it: in a network namespace that ends with the question, so nothing is changed.
 * Takes some milliseconds; for the main thread.
 */
export function checkRequirements(options: RequirementOptions): Requirement[] {
  const missing = missingCapabilities();
  const rights = fatal(
    "capabilities",
    missing.length === 0 ? undefined : `the process lacks ${missing.join(", ")}`,
    "run the agent as root; in a container give it these capabilities, or run it privileged",
  );
  // Without rights every other question has the same answer.
  if (rights.problem !== undefined) return [rights];
  const { tcx, cgroupLink, ringbuf, lpmTrie, mapInMap, mmapable } = features;
  return [
    rights,
    ...[tcx, cgroupLink, ringbuf, lpmTrie, mapInMap, mmapable].map(feature),
    ...devices(options),
    ...options.families.map(sysctls),
    jit(),
  ];
}

function missingCapabilities(): string[] {
  const line = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  const effective = BigInt(`0x${line}`);
  return Object.entries(capabilities)
    .filter(([, bit]) => (effective & (1n << BigInt(bit))) === 0n)
    .map(([name]) => name);
}

function feature(asked: Feature): Requirement {
  const verdict = haveFeature(asked);
  const problem = verdict === false ? "this kernel has none" : undefined;
  return fatal(asked.what, problem, `run Linux ${asked.since} or newer`);
}

/** Devices, filters and routes as the agent makes them. */
function devices({ tunnel }: RequirementOptions): Requirement[] {
  const hint = (options: string) => `build or load it (${options})`;
  try {
    return inFreshNetns(() => {
      using netlink = openNetlink();
      const found = [
        attempt("veth devices", hint("CONFIG_VETH"), () =>
          addVeth(netlink, { name: "probe0", peer: { name: "probe1" } }),
        ),
        attempt(
          "BPF filters of traffic control",
          hint("CONFIG_NET_CLS_ACT, NET_CLS_BPF, NET_SCH_INGRESS"),
          () => filterOn(netlink, "probe0"),
        ),
      ];
      if (!tunnel) return found;
      const vxlan = attempt("VXLAN devices", hint("CONFIG_VXLAN"), () =>
        addVxlan(netlink, { name: "probe2", port: 8472 }),
      );
      const routes = attempt("routes with encapsulation", hint("CONFIG_LWTUNNEL"), () =>
        routeThrough(netlink, "probe2"),
      );
      return [...found, vxlan, ...(vxlan.problem === undefined ? [routes] : [])];
    });
  } catch (error) {
    return [fatal("network namespaces", errorText(error), "give the container CAP_SYS_ADMIN")];
  }
}

function filterOn(netlink: Netlink, device: string): void {
  const link = linkIndex(netlink, device);
  addClsact(netlink, link);
  const fd = loadNothing(ProgramType.schedCls, 0);
  if (fd < 0) throw new Error(`a program cannot be loaded: ${errnoText(-fd)}`);
  try {
    setBpfFilter(netlink, { link, direction: "ingress", priority: 1, name: "probe", fd });
  } finally {
    closeFd(fd);
  }
}

function routeThrough(netlink: Netlink, device: string): void {
  const link = linkIndex(netlink, device);
  setLink(netlink, link, { up: true });
  // Documentation addresses (RFC 5737).
  addRoute(netlink, {
    dst: "192.0.2.0/24" as Prefix,
    link,
    encap: { id: 1, dst: "198.51.100.1" as Address },
  });
}

function sysctls(of: Family): Requirement {
  const what = `kernel parameters of IPv${of}`;
  if (of === 6 && !existsSync("/proc/sys/net/ipv6"))
    return fatal(what, "this node has no IPv6", "enable it, or set `families: v4`");
  return attempt(what, "mount the host's /proc/sys/net writable at HOSTPROC/sys/net, or run privileged", () =>
    assertSysctlsWritable(),
  );
}

function jit(): Requirement {
  const path = "/proc/sys/net/core/bpf_jit_enable";
  const off = existsSync(path) && readFileSync(path, "utf8").trim() === "0";
  const problem = off ? "it is off: programs are interpreted, several times slower" : undefined;
  return { what: "BPF just-in-time compiler", problem, hint: `write 1 to ${path}`, fatal: false };
}

function attempt(what: string, hint: string, act: () => void): Requirement {
  try {
    act();
    return fatal(what, undefined, hint);
  } catch (error) {
    return fatal(what, errorText(error), hint);
  }
}

function fatal(what: string, problem: string | undefined, hint: string): Requirement {
  return { what, problem, hint, fatal: true };
}
