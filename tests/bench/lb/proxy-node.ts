// SPDX-License-Identifier: Apache-2.0
/** A node of the lab that the real kube-proxy serves, with pods behind it as a plain router has them. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { cgroupRoot, createCgroup, joinCgroup } from "#kernel/cgroup.ts";
import { createNetns, inNetns, netnsPath } from "#kernel/netns.ts";
import type { BenchLab } from "../lab.ts";
import { addOutside, ip, netnsName, type Outside, type Place, plug, register } from "../node-place.ts";
import { tune } from "../reference.ts";
import { cgroupCpuSeconds } from "../usage.ts";
import { endProcess, metric, metricsOf, type Programmed, untilProgrammed } from "./daemon.ts";
import type { ProxyMode } from "./options.ts";

const metricsPort = 10_249;
/** nftables needs minutes for what iptables does in one. */
const limitMs = 25 * 60_000;
/** iptables by its own tables, not as a translation to nftables: that needs forty times the CPU for a thousand services. */
const legacyTool = "/usr/sbin/xtables-legacy-multi";

/** Roles of the pods every node has, under the same addresses. */
export const podRoles = ["client", "near", "other"] as const;
export type PodRole = (typeof podRoles)[number];

export interface ProxyNodeOptions {
  readonly mode: ProxyMode;
  readonly index: number;
  /** Addresses of the pods. */
  readonly pods: Readonly<Record<PodRole, string>>;
  /** Directory with `kube-proxy`. */
  readonly bin: string;
  readonly signal: AbortSignal;
}

export interface ProxyNode {
  readonly name: string;
  readonly mode: ProxyMode;
  readonly netns: string;
  readonly outside: Outside;
  /** Names of network namespaces. */
  readonly pods: Readonly<Record<PodRole, string>>;
  /** Takes every rule away and starts kube-proxy; resolves when it has all services. */
  fill(): Promise<Programmed>;
  stop(): Promise<void>;
  /** Stands still: its rules stay, and it takes no CPU from who is measured. */
  freeze(): void;
  thaw(): void;
}

export async function makeProxyNode(lab: BenchLab, options: ProxyNodeOptions): Promise<ProxyNode> {
  const { mode, index, bin, signal } = options;
  const place: Place = { prefix: `weft-${lab.name}-lab`, node: `k${index}`, index };
  const netns = netnsName(place);
  plug(place);
  const outside = addOutside(place);
  await register(lab, { place, address: outside.address, signal });
  const pods = addPods(place, options.pods);
  tune(netns);
  sysctl(netns, "net.ipv4.conf.all.send_redirects=0", `net.ipv4.conf.${outside.device}.send_redirects=0`);
  const dir = `/run/${place.prefix}/${place.node}`;
  mkdirSync(dir, { recursive: true });
  const path = legacyPath(dir);
  const config = join(dir, "kube-proxy.yaml");
  writeFileSync(config, stringify(proxyConfig(place, mode)));
  // In the lab's cgroup: all of it goes with the lab, whatever becomes of the bench.
  const cgroup = createCgroup(`${place.prefix}/${place.node}`, cgroupRoot());
  const cpuSec = () => cgroupCpuSeconds(cgroup);
  let child: ChildProcess | undefined;
  const start = (): ChildProcess => {
    const log = openSync(join(dir, "kube-proxy.log"), "a");
    const started = inNetns(netnsPath(netns), () =>
      spawn(join(bin, "kube-proxy"), ["--config", config], {
        stdio: ["ignore", log, log],
        env: { ...process.env, PATH: path },
        detached: true,
      }),
    );
    closeSync(log);
    joinCgroup(cgroup, started.pid!);
    return started;
  };
  const stop = async () => {
    if (child) await endProcess(child);
    child = undefined;
  };
  return {
    name: `kube-proxy ${mode}`,
    mode,
    netns,
    outside,
    pods,
    stop,
    freeze: () => void child?.kill("SIGSTOP"),
    thaw: () => void child?.kill("SIGCONT"),
    async fill() {
      await stop();
      clearRules(netns);
      const startSec = cpuSec();
      child = start();
      const isDone = async () => {
        const page = await metricsOf(netns, metricsPort);
        return (metric(page ?? "", "kubeproxy_sync_proxy_rules_last_timestamp_seconds") ?? 0) > 0;
      };
      return await untilProgrammed({
        child,
        what: `kube-proxy ${mode} (${dir}/kube-proxy.log)`,
        limitMs,
        signal,
        startSec,
        cpuSec,
        isDone,
      });
    },
  };
}

function sysctl(netns: string, ...settings: string[]): void {
  execFileSync("ip", ["netns", "exec", netns, "sysctl", "-qw", ...settings]);
}

/** Pods behind one device each, as the plugins that route have them: a host address, the node as the next hop. */
function addPods(place: Place, addresses: Readonly<Record<PodRole, string>>): Record<PodRole, string> {
  const node = netnsName(place);
  const made = podRoles.map((role, i) => {
    const pod = `${node}-${role}`;
    createNetns(pod);
    ip("link", "add", "eth0", "netns", pod, "type", "veth", "peer", "name", `pod${i}`, "netns", node);
    ip("-n", pod, "link", "set", "lo", "up");
    ip("-n", pod, "addr", "add", `${addresses[role]}/32`, "dev", "eth0");
    ip("-n", pod, "link", "set", "eth0", "up");
    ip("-n", pod, "route", "add", "169.254.1.1", "dev", "eth0", "scope", "link");
    ip("-n", pod, "route", "add", "default", "via", "169.254.1.1");
    ip("-n", node, "addr", "add", "169.254.1.1/32", "dev", `pod${i}`);
    ip("-n", node, "link", "set", `pod${i}`, "up");
    ip("-n", node, "route", "add", `${addresses[role]}/32`, "dev", `pod${i}`);
    tune(pod);
    return [role, pod] as const;
  });
  return Object.fromEntries(made) as Record<PodRole, string>;
}

function legacyPath(dir: string): string {
  const bin = join(dir, "bin");
  mkdirSync(bin, { recursive: true });
  for (const family of ["iptables", "ip6tables"])
    for (const verb of ["", "-save", "-restore"]) symlinkSync(legacyTool, join(bin, family + verb));
  return `${bin}:/usr/sbin:/usr/bin:/sbin:/bin`;
}

function proxyConfig({ prefix, node }: Place, mode: ProxyMode): object {
  return {
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    kind: "KubeProxyConfiguration",
    mode,
    hostnameOverride: node,
    clusterCIDR: "10.244.0.0/16",
    // The lab's API server speaks JSON only.
    clientConnection: {
      kubeconfig: `/run/${prefix}/nodes/n1/kubeconfig`,
      contentType: "application/json",
      acceptContentTypes: "application/json",
    },
    // The machine-wide conntrack limits cannot be set from a network namespace.
    conntrack: { maxPerCore: 0, min: 0 },
    metricsBindAddress: `127.0.0.1:${metricsPort}`,
  };
}

function clearRules(netns: string): void {
  const empty = ["nat", "filter", "mangle"].map((table) => `*${table}\nCOMMIT\n`).join("");
  for (const tool of ["iptables-legacy-restore", "ip6tables-legacy-restore"])
    execFileSync("ip", ["netns", "exec", netns, tool], {
      input: empty,
      stdio: ["pipe", "ignore", "inherit"],
    });
  execFileSync("ip", ["netns", "exec", netns, "nft", "flush", "ruleset"]);
}

/** Where a service's rule stands. */
export interface RulePlace {
  readonly address: string;
  /** Rules that a new connection walks before it comes to this one. */
  readonly before: number;
}

/**
 * Of these addresses the one whose rule stands nearest the middle of the list that iptables walks for each new connection, and the last of
 * them: what a service costs depends on its place there, which kube-proxy leaves to chance.
 */
export function placesOf(
  rules: string,
  addresses: readonly string[],
): { readonly middle: RulePlace; readonly last: RulePlace; readonly rules: number } {
  const lines = rules.split("\n").filter((line) => line.startsWith("-A KUBE-SERVICES "));
  const found = addresses
    .map((address) => ({
      address,
      before: lines.findIndex((line) => line.includes(` -d ${address}/32 `) && line.includes(" -p tcp ")),
    }))
    .filter(({ before }) => before >= 0)
    .sort((a, b) => a.before - b.before);
  const far = ({ before }: RulePlace) => Math.abs(before - lines.length / 2);
  const [middle] = [...found].sort((a, b) => far(a) - far(b));
  const last = found.at(-1);
  if (!middle || !last) throw new Error("kube-proxy has no rule for the bench's services");
  return { middle, last, rules: lines.length };
}

/** The rules that {@link placesOf} reads. */
export function serviceRules(node: Pick<ProxyNode, "netns">): string {
  const args = ["netns", "exec", node.netns, "iptables-legacy", "-t", "nat", "-S", "KUBE-SERVICES"];
  return execFileSync("ip", args, { encoding: "utf8", maxBuffer: 64 << 20 });
}
