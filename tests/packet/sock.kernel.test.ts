// SPDX-License-Identifier: Apache-2.0
/** Services at the socket, with real sockets of a process in a cgroup and network namespace of its own. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
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
import { writeService } from "#kit/datapath.ts";
import { Proto } from "#kit/packet.ts";
import type { Seen } from "./sock-client.ts";

const noConfig = nodeConfigLayout.read(new DataView(new ArrayBuffer(nodeConfigLayout.size)), 0);
const name = `c-pkt-${process.pid}-sock`;
const stack = new AsyncDisposableStack();
let seen: Seen;
let seenInSilence: Seen;
let loaded: Collection;

before(async () => {
  let run: () => Promise<Seen>;
  ({ loaded, run } = hooked(name, ConfigFlag.refuse));
  writeServices(loaded);
  seen = await run();
  const silent = hooked(`${name}-silent`, 0);
  writeServices(silent.loaded);
  const own = { id: 20, address: "127.0.0.1", port: 18_080, proto: Proto.tcp, flags: LbFlag.hostOnly };
  writeService(silent.loaded.maps, { ...own, backends: [] });
  seenInSilence = await silent.run();
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

/** The hooks on a cgroup of their own, and what runs the client there, in a network namespace that has a loopback device alone. */
function hooked(name: string, flags: number): { loaded: Collection; run(): Promise<Seen> } {
  const spec = compiledSpec("bpf/sock.bpf.c");
  const netns = createNetns(name);
  stack.defer(() => void deleteNetns(name));
  const config = encode(nodeConfigLayout, { ...noConfig, flags, hostNetns: netnsCookie({ netns }) });
  const loaded = stack.use(loadCollection(spec, { rodata: { config } }));
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
  return { loaded, run: () => runClient(netns, cgroup) };
}

async function runClient(netns: string, cgroup: string): Promise<Seen> {
  const script = fileURLToPath(new URL("sock-client.ts", import.meta.url));
  const child = inNetns(netns, () =>
    spawn(process.execPath, [script], { stdio: ["pipe", "pipe", "inherit"], timeout: 20_000 }),
  );
  joinCgroup(cgroup, child.pid!);
  child.stdin.write("go\n");
  let text = "";
  child.stdout.on("data", (chunk) => {
    text += String(chunk);
  });
  await once(child, "close");
  return JSON.parse(text) as Seen;
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
  const socks = [...typedMap(loaded.map("lb_socks"), lbSockKeyLayout, lbSockLayout).entries()];
  assert.deepEqual([...new Set(socks.map(([, { frontend }]) => frontend))].toSorted(), [1, 2, 3, 4]);
});
