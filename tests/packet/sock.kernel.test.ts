// SPDX-License-Identifier: Apache-2.0
/** Services at the socket, with real sockets of a process in a cgroup and network namespace of its own. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { createInterface } from "node:readline";
import { after, before, it } from "node:test";
import { fileURLToPath } from "node:url";
import { ConfigFlag, LbFlag } from "#datapath/layouts/enums.ts";
import { lbSockLayout } from "#datapath/layouts/lb-sock.ts";
import { lbSockKeyLayout } from "#datapath/layouts/lb-sock-key.ts";
import { nodeConfigLayout } from "#datapath/layouts/node-config.ts";
import { attachCgroup } from "#kernel/bpf/link.ts";
import { type Collection, loadCollection } from "#kernel/bpf/object.ts";
import { encode, typedMap } from "#kernel/bpf/typed-map.ts";
import { createCgroup, joinCgroup, removeCgroup } from "#kernel/cgroup.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { setLink } from "#kernel/netlink/link.ts";
import { createNetns, deleteNetns, inNetns } from "#kernel/netns.ts";
import { netnsCookie } from "#kernel/socket.ts";
import { compiledSpec } from "#kit/bpf-object.ts";
import { Proto } from "#kit/packet.ts";
import { type ServiceFields, writeService } from "#kit/service-entries.ts";
import type { Seen } from "./sock-client.ts";

const noConfig = nodeConfigLayout.read(new DataView(new ArrayBuffer(nodeConfigLayout.size)), 0);
const name = `c-pkt-${process.pid}-sock`;
const stack = new AsyncDisposableStack();
let seen: Seen;
let seenInSilence: Seen;
/** The frontends remembered of the client's sockets while they are open, and when they are closed. */
let remembered: { readonly open: readonly number[]; readonly closed: readonly number[] };

before(async () => {
  ({ seen, ...remembered } = await hooked(name, ConfigFlag.refuse));
  const own = { id: 20, address: "127.0.0.1", port: 18_080, proto: Proto.tcp, flags: LbFlag.hostOnly };
  const silent = await hooked(`${name}-silent`, 0, { ...own, backends: [] });
  seenInSilence = silent.seen;
});
after(async () => await stack[Symbol.asyncDispose]());

/** What the client asks for: TCP and UDP in both families, and a TCP port where nobody answers. */
function writeServices({ maps }: Collection): void {
  for (const [v6, proto] of [
    [false, Proto.tcp],
    [false, Proto.udp],
    [true, Proto.tcp],
    [true, Proto.udp],
  ] as const) {
    const id = 1 + (v6 ? 2 : 0) + (proto === Proto.udp ? 1 : 0);
    const address = v6 ? "fd00:96::1" : "10.96.0.1";
    const backends = [{ id, address: v6 ? "::1" : "127.0.0.1", port: 18_080 }];
    writeService(maps, { id, address, proto, port: proto === Proto.tcp ? 80 : 53, backends });
    if (proto === Proto.tcp) writeService(maps, { id: id + 10, address, proto, port: 81, backends: [] });
  }
}

/** Numbers of the frontends that sockets were led from. */
function rememberedBy({ maps }: Collection): number[] {
  const socks = typedMap(maps.get("lb_socks")!, lbSockKeyLayout, lbSockLayout);
  return [...socks.entries()].map(([, { frontend }]) => frontend).toSorted();
}

/** Runs the client with the hooks on a cgroup of its own, in a network namespace that has a loopback device alone. */
async function hooked(name: string, flags: number, ...more: ServiceFields[]) {
  const spec = compiledSpec("bpf/sock.bpf.c");
  const netns = createNetns(name);
  stack.defer(() => void deleteNetns(name));
  const config = encode(nodeConfigLayout, { ...noConfig, flags, hostNetns: netnsCookie({ netns }) });
  const loaded = stack.use(loadCollection(spec, { rodata: { config } }));
  writeServices(loaded);
  for (const service of more) writeService(loaded.maps, service);
  using netlink = openNetlink({ netns });
  setLink(netlink, "lo", { up: true });
  const cgroup = createCgroup(name);
  stack.defer(async () => await removeCgroup(cgroup));
  const fd = openSync(cgroup, "r");
  for (const program of loaded.programs.values()) {
    const attachType = spec.programs.get(program.name)?.kind.attachType ?? 0;
    stack.use(attachCgroup({ program, fd, attachType }));
  }
  closeSync(fd);
  await using client = startClient(netns, cgroup);
  const seen = JSON.parse(await client.ask()) as Seen;
  const open = rememberedBy(loaded);
  assert.equal(await client.ask(), "closed");
  return { seen, open, closed: rememberedBy(loaded) };
}

/** The client: `ask` lets it go on to its next answer. */
function startClient(netns: string, cgroup: string) {
  const script = fileURLToPath(new URL("sock-client.ts", import.meta.url));
  const child = inNetns(netns, () =>
    spawn(process.execPath, [script], { stdio: ["pipe", "pipe", "inherit"], timeout: 20_000 }),
  );
  joinCgroup(cgroup, child.pid!);
  const closed = once(child, "close");
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    async ask(): Promise<string> {
      child.stdin.write("go\n");
      const { value } = await lines.next();
      return value ?? "";
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await closed;
    },
  };
}

it("leads connections to a backend and shows the service as the peer", () => {
  assert.equal(seen.tcp4, "10.96.0.1 80 ping");
  assert.equal(seen.tcp6, "fd00:96::1 80 ping");
  assert.equal(seen.mapped, "::ffff:10.96.0.1 80 ping");
});

it("leaves what is no service alone", () => {
  assert.equal(seen.direct, "127.0.0.1 18080 ping");
});

it("refuses a service without backends", () => {
  assert.deepEqual([seen.refused4, seen.refused6], ["ECONNREFUSED", "ECONNREFUSED"]);
});

it("leaves it to packets where silence is asked for", () => {
  assert.deepEqual([seenInSilence.refused4, seenInSilence.refused6], ["ENETUNREACH", "ENETUNREACH"]);
});

it("refuses the node's own processes at the node's own ports there: whoever listens on one is not the service", () => {
  assert.equal(seenInSilence.direct, "ECONNREFUSED");
});

it("leads datagrams to a backend, whose answers show the service", () => {
  assert.equal(seen.udp4, "10.96.0.1 53 ping");
  assert.equal(seen.udp6, "fd00:96::1 53 ping");
});

it("does so for connected datagram sockets", () => {
  assert.equal(seen.udpConnected4, "10.96.0.1 10.96.0.1 53 ping");
  assert.equal(seen.udpConnected6, "fd00:96::1 fd00:96::1 53 ping");
});

it("remembers what each socket asked for, for the flow events", () => {
  assert.deepEqual([...new Set(remembered.open)], [1, 2, 3, 4]);
});

it("forgets connected sockets when they close; what was sent without a connection goes in its turn", () => {
  assert.deepEqual(remembered.closed, [2, 4]);
});
