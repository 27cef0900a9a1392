// SPDX-License-Identifier: Apache-2.0
/** What goes through the tunnel: who it is from, who it is for, and that nobody passes for the node. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { DropReason, TracePoint, TraceReason } from "#datapath/layouts/enums.ts";
import { Action, at, type PodFields, TestNode } from "#kit/datapath.ts";
import { barePacket, buildFragments, buildPacket, readFragments, Tcp } from "#kit/packet.ts";

const families = {
  v4: { pod: "10.0.1.2", remote: "10.0.2.5", stranger: "10.0.1.99", underlay6: "10.0.3.5" },
  v6: {
    pod: "fd00:10:0:1::2",
    remote: "fd00:10:0:2::5",
    stranger: "fd00:10:0:1::99",
    underlay6: "fd00:10:0:3::5",
  },
} as const;

for (const name of ["v4", "v6"] as const) {
  const net = { ...families[name], ...at[name] };
  const v6 = name === "v6";
  const bits = v6 ? "/128" : "/32";

  describe(`the tunnel, ${name}`, () => {
    let node: TestNode;
    let pod: PodFields;
    let sport = 20_000;

    before(() => {
      node = TestNode.create(`overlay${name}`, { routing: "tunnel" });
      pod = node.pod({ id: 1, [name]: net.pod, identity: 1001 });
      node.identify(net.remote + bits, 2005, at.v4.otherNode);
      node.identify(net.underlay6 + bits, 2006, at.v6.otherNode);
    });
    after(() => node[Symbol.dispose]());

    const udp = (from: string, to: string) =>
      buildPacket({
        from,
        to,
        transport: { kind: "udp", sport: ++sport, dport: 53 },
        payload: Uint8Array.of(1),
      });
    const leave = (bytes: Uint8Array, vni: number) =>
      node.run("to_overlay", bytes, { ifindex: node.deviceIfindex, vni });

    it("brings the sender's identity", () => {
      const out = node.fromOverlay(udp(net.remote, net.pod), 2005);
      assert.equal(out.action, Action.redirect);
      assert.equal(out.packet.ttl, 63);
      const [event] = out.events;
      assert.deepEqual(
        [event?.srcIdentity, event?.point, event?.reason, event?.tunnel],
        [2005, TracePoint.toEndpoint, TraceReason.new, 1],
      );
    });

    it("knows another node by its address where nodes have identities of their own, and by nothing it says itself", () => {
      const own = 0x02_00_00_11;
      node.identify(net.otherNode + bits, own);
      const identityOf = (from: string, vni: number) =>
        node.fromOverlay(udp(from, net.pod), vni).events[0]?.srcIdentity;
      assert.equal(identityOf(net.otherNode, 6), own);
      assert.equal(identityOf(net.otherNode, 1), own);
      assert.equal(identityOf(net.remote, 6), 6, "a pod's address makes no node of it");
      assert.equal(identityOf(net.otherNode, 2005), 2005);
      node.identify(net.otherNode + bits, 6);
    });

    it("leads to the node what is the node's", () => {
      for (const to of [net.router, net.node])
        assert.equal(node.fromOverlay(udp(net.remote, to), 2005).action, Action.pass);
    });

    it("refuses what is nobody's, and what has no identity", () => {
      const lost = node.fromOverlay(udp(net.remote, net.stranger), 2005);
      assert.deepEqual([lost.action, lost.events[0]?.reason], [Action.drop, DropReason.staleOrUnroutableIp]);
      const nameless = node.fromOverlay(udp(net.remote, net.pod), 0);
      assert.deepEqual([nameless.action, nameless.events[0]?.reason], [Action.drop, DropReason.invalidVni]);
    });

    it("goes over an IPv6 underlay too", () => {
      const out = node.fromPod(pod, udp(net.pod, net.underlay6));
      assert.equal(out.action, Action.redirect);
      assert.deepEqual(out.tunnel, { vni: 1001, remote: 0x20 });
    });

    it("does not take a pod's packet for a node's because the stack sent it", () => {
      for (const stacks of [1, 6]) {
        const out = leave(udp(net.pod, net.remote), stacks);
        assert.equal(out.action, Action.pass);
        assert.deepEqual(out.tunnel, { vni: 1001, remote: 0xc0a80114 });
        assert.equal(
          leave(udp(net.router, net.remote), stacks).tunnel?.vni,
          stacks,
          "a node's stay a node's",
        );
      }
      assert.equal(leave(udp(net.pod, net.remote), 1001).tunnel?.vni, 1001);
    });

    it("takes what the outside had routed through this node for the world's", () => {
      const out = leave(udp(net.world, net.remote), 6);
      assert.deepEqual([out.action, out.tunnel?.vni], [Action.pass, v6 ? 10 : 9]);
      assert.equal(
        leave(udp(net.remote, net.remote), 6).tunnel?.vni,
        v6 ? 10 : 9,
        "also under a pod's address",
      );
    });

    it("is not a pod's to write into", () => {
      for (const to of [net.otherNode, net.node, net.world]) {
        const transport = { kind: "udp", sport: ++sport, dport: 8472 } as const;
        const out = node.fromPod(
          pod,
          buildPacket({ from: net.pod, to, transport, payload: new Uint8Array(60) }),
        );
        assert.equal(out.action, Action.drop, to);
        assert.equal(out.events[0]?.reason, DropReason.encapsulationTrafficIsProhibited);
      }
    });

    it("carries fragments, each with the identity", () => {
      const fields = {
        from: net.remote,
        to: net.pod,
        transport: { kind: "udp", sport: ++sport, dport: 53 } as const,
        payload: new Uint8Array(900).fill(7),
      };
      const outs = buildFragments(fields, 304).map((bytes) => node.fromOverlay(bytes, 2005));
      assert.ok(outs.every(({ action }) => action === Action.redirect));
      assert.equal(readFragments(outs.map(({ bytes }) => bytes)).destination, net.pod);
    });

    it("brings errors about what went out", () => {
      node.policy(70, []);
      node.pod({ ...pod, policy: 70, revision: 70, enforce: ["ingress"] });
      node.fromPod(pod, udp(net.pod, net.remote));
      const about = barePacket({
        from: net.pod,
        to: net.remote,
        transport: { kind: "udp", sport, dport: 53 },
      });
      const transport = { kind: "error", type: v6 ? 1 : 3, code: v6 ? 4 : 3, about } as const;
      const out = node.fromOverlay(buildPacket({ from: net.remote, to: net.pod, transport }), 2005);
      assert.deepEqual([out.action, out.events[0]?.reason], [Action.redirect, TraceReason.related]);
      node.pod(pod);
    });

    it("forgets a connection whose time is over", () => {
      const bytes = buildPacket({
        from: net.remote,
        to: net.pod,
        transport: { kind: "tcp", sport: ++sport, dport: 80, flags: Tcp.syn },
      });
      assert.equal(node.fromOverlay(bytes, 2005).events[0]?.reason, TraceReason.new);
      assert.equal(node.fromOverlay(bytes, 2005).events.length, 0);
      const [key, entry] =
        [...node.conntrack.entries()].find(([k]) => k.lowPort === sport || k.highPort === sport) ?? [];
      assert.ok(key && entry);
      node.conntrack.set(key, { ...entry, expiresSec: entry.expiresSec - 61 });
      assert.equal(node.fromOverlay(bytes, 2005).events[0]?.reason, TraceReason.new);
    });
  });
}
