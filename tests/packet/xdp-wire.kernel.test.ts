// SPDX-License-Identifier: Apache-2.0
/** Frames out of a cable, through a device with the balancer in its driver, and back into the cable. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { ConfigFlag, LbFlag } from "#datapath/layouts/enums.ts";
import { attachTcx, attachXdp } from "#kernel/bpf/link.ts";
import { loadCollection } from "#kernel/bpf/object.ts";
import { typedMap, u32Layout } from "#kernel/bpf/typed-map.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { linkIndex } from "#kernel/netlink/link.ts";
import { compiledSpec } from "#kit/bpf-object.ts";
import { at, TestNode } from "#kit/datapath.ts";
import { eventually } from "#kit/eventually.ts";
import { buildPacket, Proto, readPacket } from "#kit/packet.ts";
import { sendFrame } from "#kit/send-frame.ts";

/** BPF_F_TEST_XDP_LIVE_FRAMES: what the program says is done. */
const LIVE = 2;
const NODE_PORT = 30_080;

const families = {
  v4: { remote: "10.0.2.5", bits: "/32", client: "198.51.100.9" },
  v6: { remote: "fd00:10:0:2::5", bits: "/128", client: "2001:db8:9::9" },
} as const;

for (const name of ["v4", "v6"] as const)
  for (const routing of ["native", "tunnel"] as const)
    it(`a driver sends back what the balancer gives it, ${name}, ${routing}`, async () => {
      const net = { ...families[name], ...at[name] };
      using node = TestNode.create(`wire${name}${routing}`, { routing, xdp: true });
      node.identify(net.remote + net.bits, 2005, routing === "tunnel" ? at.v4.otherNode : undefined);
      node.service({
        id: 20,
        address: net.node,
        port: NODE_PORT,
        proto: Proto.udp,
        type: "NodePort",
        backends: [{ id: 200, address: net.remote, port: 53 }],
      });
      using end = loadCollection(compiledSpec("tests/packet/wire.bpf.c"));
      using netlink = openNetlink({ netns: node.netns });
      const cable = linkIndex(netlink, "dev0p");
      typedMap(end.map("cable"), u32Layout, u32Layout).set(0, cable);
      const attach = (program: ReturnType<TestNode["program"]>, ifindex: number) =>
        node.inside(() => attachXdp({ program, ifindex, mode: "driver" }));
      using _end = attach(end.program("keep"), cable);
      using _balancer = attach(node.program("from_wire"), node.deviceIfindex);
      const request = buildPacket({
        from: net.client,
        to: net.node,
        transport: { kind: "udp", sport: 1000, dport: NODE_PORT },
        payload: Uint8Array.of(1, 2, 3),
      });
      node.inside(() => end.program("send").testRun({ data: request, flags: LIVE }));
      const kept = await eventually(() => {
        const found = end.map("out").lookup(new Uint8Array(4))!;
        const view = new DataView(found.buffer, found.byteOffset);
        assert.equal(view.getUint32(0, true), 1);
        return found.subarray(8, 8 + view.getUint32(4, true));
      }, 5_000);
      const sent = readPacket(routing === "tunnel" ? kept.subarray(50) : kept);
      assert.equal(readPacket(kept).destinationMac, "02:00:00:00:00:02");
      assert.deepEqual([sent.destination, sent.dport], [net.remote, 53]);
    });

for (const name of ["v4", "v6"] as const)
  it(`what the balancer in the stack leaves, traffic control gets as it came, ${name}`, async () => {
    const net = { ...families[name], ...at[name] };
    const pod = name === "v4" ? "10.0.1.2" : "fd00:10:0:1::2";
    using node = TestNode.create(`stack${name}`, {
      routing: "native",
      xdp: true,
      flags: ConfigFlag.genericXdp,
    });
    node.pod({ id: 1, [name]: pod, identity: 1001 });
    node.service({
      id: 20,
      address: net.node,
      port: NODE_PORT,
      proto: Proto.udp,
      type: "NodePort",
      flags: LbFlag.affinity,
      backends: [{ id: 200, address: pod, port: 53 }],
    });
    using netlink = openNetlink({ netns: node.netns });
    const cable = linkIndex(netlink, "dev0p");
    const [balancer, rest] = [node.program("from_wire"), node.program("from_device")];
    const ifindex = node.deviceIfindex;
    using _early = node.inside(() => attachXdp({ program: balancer, ifindex, mode: "generic" }));
    using _late = node.inside(() => attachTcx({ program: rest, ifindex, direction: "ingress" }));
    const request = buildPacket({
      from: net.client,
      to: net.node,
      transport: { kind: "udp", sport: 1000, dport: NODE_PORT },
      payload: Uint8Array.of(1, 2, 3),
    });
    node.inside(() => sendFrame(cable, request));
    const event = await eventually(() => {
      const [found] = node.events();
      assert.ok(found);
      return found;
    }, 5_000);
    assert.deepEqual([event.daddr, event.dport, event.frontend, event.dstEndpoint], [pod, 53, 20, 1]);
  });
