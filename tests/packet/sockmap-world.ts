// SPDX-License-Identifier: Apache-2.0
/** Two pods of one node, real ones: namespaces with a veth each, the pods' programs on it, and those of sockets on their cgroup. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { addressLayout } from "#kernel/bpf/field-codec.ts";
import { AttachType } from "#kernel/bpf/kinds.ts";
import type { Layout } from "#kernel/bpf/layout.ts";
import { attachCgroup, attachSockets } from "#kernel/bpf/link.ts";
import { type Collection, loadCollection } from "#kernel/bpf/object.ts";
import { perCpu, typedMap, u32Layout, u64Layout } from "#kernel/bpf/typed-map.ts";
import { createCgroup, joinCgroup, removeCgroup } from "#kernel/cgroup.ts";
import { addAddress } from "#kernel/netlink/address.ts";
import { addClsact, setBpfFilter } from "#kernel/netlink/filter.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { linkIndex, setLink } from "#kernel/netlink/link.ts";
import { replaceNeighbour } from "#kernel/netlink/neighbour.ts";
import { addRoute } from "#kernel/netlink/route.ts";
import { createNetns, deleteNetns, inNetns } from "#kernel/netns.ts";
import { netnsCookie } from "#kernel/socket.ts";
import { compiledSpec } from "#kit/bpf-object.ts";
import { type PodFields, TestNode } from "#kit/datapath.ts";
import type { ServiceFields } from "#kit/service-entries.ts";
import { parseAddress, parsePrefix } from "#model/ip.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

export interface Pod {
  readonly netns: string;
  readonly v4: string;
  readonly v6: string;
  readonly fields: PodFields;
}

/** The bytes of a `struct metric`. */
const metricBytesLayout: Layout<bigint> = {
  name: "metric",
  size: 16,
  read: (view, offset) => view.getBigUint64(offset + 8, true),
  write: (view, offset, value) => view.setBigUint64(offset + 8, value, true),
};

/** Compiles a program of this folder when it changed; its path. */
export function compiledProgram(name: "streams" | "sock-manners"): string {
  const source = `${root}/tests/packet/${name}.c`;
  const program = `${root}/build/test-bpf/${name}`;
  const builtMs = statSync(program, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (builtMs > statSync(source).mtimeMs) return program;
  mkdirSync(`${root}/build/test-bpf`, { recursive: true });
  const flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-pthread"];
  execFileSync(process.env["CC"] ?? "clang-19", [...flags, "-o", program, source], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  return program;
}

/** Maps that the sockets' programs have in common with the packets'. */
const SHARED = ["conntrack", "endpoints_by_addr", "events", "events_lost"] as const;

export interface WorldOptions {
  /** False: the sockets are left alone, for comparison. */
  readonly accelerate?: boolean;
  /** How often a busy connection is reported. */
  readonly eventIntervalSec?: number;
}

/** @see SockWorld.create */
export class SockWorld implements AsyncDisposable {
  readonly node: TestNode;
  readonly pods: readonly [Pod, Pod];
  readonly sockets: Collection;
  readonly #cgroup: string;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    parts: Pick<SockWorld, "node" | "pods" | "sockets">,
    cgroup: string,
    stack: AsyncDisposableStack,
  ) {
    this.node = parts.node;
    this.pods = parts.pods;
    this.sockets = parts.sockets;
    this.#cgroup = cgroup;
    this.#stack = stack;
  }

  static async create(
    name: string,
    { accelerate = true, eventIntervalSec = 5 }: WorldOptions = {},
  ): Promise<SockWorld> {
    await using undo = new AsyncDisposableStack();
    const connections = 65_536; // far more than any test makes: one that makes way while it opens takes no part
    const node = undo.use(
      TestNode.create(name, { routing: "tunnel", config: { eventIntervalSec }, connections }),
    );
    const pods = [makePod(node, name, 1, undo), makePod(node, name, 2, undo)] as const;
    const cgroup = createCgroup(`c-pkt-${process.pid}-${name}`);
    undo.defer(async () => await removeCgroup(cgroup));
    const sockets = undo.use(
      loadCollection(compiledSpec("bpf/sockmap.bpf.c"), {
        maps: Object.fromEntries(SHARED.map((map) => [map, node.map(map)])),
        rodata: { config: node.config },
      }),
    );
    const cookies = typedMap(sockets.map("sock_pods"), addressLayout, u64Layout);
    for (const { netns, v4, v6 } of pods)
      for (const address of [v4, v6]) cookies.set(parseAddress(address), netnsCookie({ netns }));
    if (accelerate) {
      const attachType = AttachType.skMsgVerdict;
      const fd = sockets.map("sock_hash").fd.number;
      undo.use(attachSockets({ program: sockets.program("sock_redirect"), fd, attachType }));
      const dir = openSync(cgroup, "r");
      for (const [name, attachType] of [
        ["sock_option", AttachType.cgroupSetsockopt],
        ["sock_track", AttachType.cgroupSockOps],
      ] as const)
        undo.use(attachCgroup({ program: sockets.program(name), fd: dir, attachType }));
      closeSync(dir);
    }
    return new SockWorld({ node, pods, sockets }, cgroup, undo.move());
  }

  /** Services at the socket too, as on a node. */
  translateServices(service: ServiceFields): void {
    const spec = compiledSpec("bpf/sock.bpf.c");
    const lb = ["lb_frontends", "lb_slots", "lb_backends", "lb_reverse", "lb_socks"];
    const translation = this.#stack.use(
      loadCollection(spec, {
        maps: Object.fromEntries(
          lb.filter((map) => spec.maps.has(map)).map((map) => [map, this.node.map(map)]),
        ),
        rodata: { config: this.node.config },
      }),
    );
    this.node.service(service);
    const fd = openSync(this.#cgroup, "r");
    for (const program of translation.programs.values()) {
      const attachType = spec.programs.get(program.name)?.kind.attachType ?? 0;
      this.#stack.use(attachCgroup({ program, fd, attachType }));
    }
    closeSync(fd);
  }

  /** A process in a pod, in the cgroup before it opens a socket. */
  run(pod: Pod, program: string, args: readonly string[]) {
    const script = 'read go; exec "$@"';
    const child = inNetns(pod.netns, () =>
      spawn("sh", ["-c", script, "sh", program, ...args], { stdio: ["pipe", "pipe", "pipe"] }),
    );
    joinCgroup(this.#cgroup, child.pid!);
    child.stdin.write("go\n");
    return child;
  }

  /** Runs to the end; what it printed. */
  async finish(pod: Pod, program: string, args: readonly string[]) {
    const child = this.run(pod, program, args);
    let [out, err] = ["", ""];
    child.stdout.on("data", (chunk) => {
      out += String(chunk);
    });
    child.stderr.on("data", (chunk) => {
      err += String(chunk);
    });
    const [code] = (await once(child, "close")) as [number | null];
    return { code, out, err };
  }

  /** Bytes that went past the network, and by TCP, so far. */
  counts(): { redirected: number; passed: number } {
    const counts = typedMap(this.sockets.map("sock_counts"), u32Layout, perCpu(metricBytesLayout));
    const bytes = (key: number) => Number(counts.get(key)?.reduce((sum, cpu) => sum + cpu, 0n) ?? 0n);
    return { redirected: bytes(0), passed: bytes(1) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
  }
}

function makePod(node: TestNode, name: string, id: number, undo: AsyncDisposableStack): Pod {
  const netnsName = `c-pkt-${process.pid}-${name}-${id}`;
  const netns = createNetns(netnsName);
  undo.defer(() => void deleteNetns(netnsName));
  const [v4, v6] = [`10.0.1.${id + 1}`, `fd00:10:0:1::${id + 1}`];
  const fields = node.pod({ id, v4, v6, identity: 1000 + id });
  using outside = openNetlink({ netns: node.netns });
  setLink(outside, `pod${id}p`, { up: false });
  setLink(outside, `pod${id}p`, { netns, mac: `02:00:00:00:01:0${id}` });
  const link = node.podIfindex(fields);
  setLink(outside, link, { mac: `02:00:00:00:02:0${id}` });
  addClsact(outside, link);
  for (const [direction, program] of [
    ["ingress", "from_pod"],
    ["egress", "to_pod"],
  ] as const) {
    const fd = node.program(program).fd.number;
    setBpfFilter(outside, { link, direction, priority: 1, name: program, fd });
  }
  using inside = openNetlink({ netns });
  setLink(inside, "lo", { up: true });
  setLink(inside, `pod${id}p`, { up: true });
  const own = linkIndex(inside, `pod${id}p`);
  for (const [address, bits, gateway, all] of [
    [v4, 32, "10.0.1.1", "0.0.0.0/0"],
    [v6, 128, "fd00:10:0:1::1", "::/0"],
  ] as const) {
    addAddress(inside, { link: own, address: parseAddress(address), bits, noDad: true });
    addRoute(inside, { dst: parsePrefix(`${gateway}/${bits}`), link: own });
    replaceNeighbour(inside, { link: own, address: parseAddress(gateway), mac: `02:00:00:00:02:0${id}` });
    addRoute(inside, { dst: parsePrefix(all), link: own, gateway: parseAddress(gateway) });
  }
  return { netns, v4, v6, fields };
}
