// SPDX-License-Identifier: Apache-2.0
/** `policy.denyResponse: icmp`: a pod is told what its own policy denies, and by nobody else's. */
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { ConfigFlag, DropReason } from "#datapath/layouts/enums.ts";
import { Action, at, type PodFields, TestNode } from "#kit/datapath.ts";
import { barePacket, buildPacket, Proto, readPacket, Tcp, type Transport } from "#kit/packet.ts";

const families = {
  v4: { pod: "10.0.1.2", other: "10.0.1.3", vip: "10.96.0.10", multicast: "224.0.0.9" },
  v6: { pod: "fd00:10:0:1::2", other: "fd00:10:0:1::3", vip: "fd00:96::10", multicast: "ff05::9" },
} as const;

for (const name of ["v4", "v6"] as const) {
  const v6 = name === "v6";
  const net = { ...families[name], ...at[name] };

  describe(`a pod that its own policy denies, ${name}`, () => {
    let node: TestNode;
    let pod: PodFields;
    let other: PodFields;
    let port = 20_000;
    let revision = 1;

    before(() => {
      const all = ConfigFlag.ipv4 | ConfigFlag.ipv6 | ConfigFlag.flows | ConfigFlag.denyIcmp;
      node = TestNode.create(`deny${name}`, { routing: "tunnel", config: { flags: all } });
      node.policy(70, []);
      node.service({
        id: 7,
        address: net.vip,
        port: 80,
        proto: Proto.tcp,
        backends: [{ id: 70, address: net.other, port: 8080 }],
      });
    });
    after(() => node[Symbol.dispose]());
    beforeEach(() => {
      port++;
      pod = node.pod({ id: 1, [name]: net.pod, identity: 1001, policy: 70, enforce: ["egress"] });
      other = node.pod({ id: 2, [name]: net.other, identity: 1002 + ++revision });
    });

    const tcp = (flags: number, dport = 80): Transport => ({ kind: "tcp", sport: port, dport, flags });
    const send = (transport: Transport, to: string = net.other) =>
      node.fromPod(pod, buildPacket({ from: net.pod, to, transport }));

    for (const [what, transport] of [
      ["TCP", () => tcp(Tcp.syn)],
      ["UDP", (): Transport => ({ kind: "udp", sport: port, dport: 53 })],
    ] as const) {
      it(`is told so by ICMP: ${what}`, () => {
        const sent = buildPacket({ from: net.pod, to: net.other, transport: transport() });
        const out = node.fromPod(pod, sent);
        assert.equal(out.action, Action.redirect);
        assert.deepEqual([out.packet.source, out.packet.destination], [net.other, net.pod]);
        assert.deepEqual([out.packet.type, out.packet.code], v6 ? [1, 1] : [3, 13]);
        assert.deepEqual(
          [out.packet.about?.source, out.packet.about?.destination, out.packet.about?.sport],
          [net.pod, net.other, port],
        );
        const [was, is] = [readPacket(sent), out.packet];
        assert.deepEqual([is.sourceMac, is.destinationMac], [was.destinationMac, was.sourceMac]);
        assert.equal(out.events[0]?.reason, DropReason.policyDenied, "the drop is told as ever");
      });
    }

    it("is told of the service's address, which is what it asked for", () => {
      const out = send(tcp(Tcp.syn), net.vip);
      assert.equal(out.action, Action.redirect);
      assert.deepEqual([out.packet.source, out.packet.about?.destination], [net.vip, net.vip]);
      assert.equal(out.packet.about?.dport, 80);
    });

    it("is not told in answer to resets, ICMP errors and multicast", () => {
      assert.equal(send(tcp(Tcp.rst)).action, Action.drop);
      assert.equal(send({ kind: "udp", sport: port, dport: 9 }, net.multicast).action, Action.drop);
      const about = barePacket({
        from: net.other,
        to: net.pod,
        transport: { kind: "udp", sport: 9, dport: port },
      });
      const error: Transport = { kind: "error", type: v6 ? 1 : 3, code: v6 ? 4 : 3, word: 0, about };
      assert.equal(send(error).action, Action.drop);
    });

    it("is not told what the other end's policy denies, nor is who is answered", () => {
      pod = node.pod({ ...pod, policy: 0, enforce: [] });
      other = node.pod({ ...other, policy: 70, enforce: ["ingress"] });
      assert.equal(send(tcp(Tcp.syn)).action, Action.drop);
      other = node.pod({ ...other, policy: 0, revision: 5, enforce: [] });
      assert.equal(send(tcp(Tcp.syn)).action, Action.redirect);
      pod = node.pod({ ...pod, policy: 70, revision: 6, enforce: ["egress"] });
      const answer = buildPacket({
        from: net.other,
        to: net.pod,
        transport: { kind: "tcp", sport: 80, dport: port, flags: Tcp.syn | Tcp.ack },
      });
      assert.equal(node.fromPod(other, answer).action, Action.drop);
    });

    it("is told a hundred times a second at most, of everything alike", () => {
      let told = 0;
      const startedMs = performance.now();
      for (let i = 0; i < 400; i++) if (send(tcp(Tcp.syn, 81)).action === Action.redirect) told++;
      const seconds = Math.floor((performance.now() - startedMs) / 1000) + 2;
      assert.ok(told >= 100 && told <= 100 * seconds, `${told} in ${seconds} s`);
    });
  });
}
