// SPDX-License-Identifier: Apache-2.0
/** How pods leave the cluster: by a gateway, as the pod's node and as the gateway see it; and where masquerade is not wanted. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { DropReason, EventFlag, TracePoint, TraceReason } from "#datapath/layouts/enums.ts";
import { Action, at, type Outcome, type PodFields, TestNode } from "#kit/datapath.ts";
import { barePacket, buildFragments, buildPacket, Proto, readFragments, Tcp } from "#kit/packet.ts";
import { type Address, parseAddress, parsePrefix } from "#model/ip.ts";

const families = {
  v4: {
    pod: "10.0.1.2",
    second: "10.0.1.3",
    far: "10.0.2.5",
    stranger: "10.0.2.6",
    bits: "/32",
    all: "0.0.0.0/0",
    excluded: "198.51.100.0/24",
    outside: "198.51.100.9",
    nowhere: "192.0.2.0/24",
    dropped: "192.0.2.7",
    egress: "192.168.1.77",
    vip: "10.96.0.10",
  },
  v6: {
    pod: "fd00:10:0:1::2",
    second: "fd00:10:0:1::3",
    far: "fd00:10:0:2::5",
    stranger: "fd00:10:0:2::6",
    bits: "/128",
    all: "::/0",
    excluded: "2001:db8:9::/48",
    outside: "2001:db8:9::9",
    nowhere: "2001:db8:a::/48",
    dropped: "2001:db8:a::7",
    egress: "fd00:1::77",
    vip: "fd00:96::10",
  },
} as const;

/** 192.168.1.20, the other node. */
const otherNode = 0xc0a80114;

for (const routing of ["tunnel", "native"] as const) {
  for (const name of ["v4", "v6"] as const) {
    const net = { ...families[name], ...at[name] };
    const v6 = name === "v6";
    const world = v6 ? 10 : 9;

    describe(`egress gateway, ${name}, ${routing}`, () => {
      let node: TestNode;
      let client: PodFields;
      let own: PodFields;
      let port = 20_000;

      before(() => {
        node = TestNode.create(`egress${name}${routing}`, { routing });
        client = node.pod({ id: 1, [name]: net.pod, identity: 1001 });
        own = node.pod({ id: 2, [name]: net.second, identity: 1002 });
        for (const pod of [net.far, net.stranger])
          node.identify(`${pod}${net.bits}`, 2005, routing === "tunnel" ? at.v4.otherNode : undefined);
        const row = (source: string, destination: string, more: Partial<Parameters<TestNode["egress"]>[0]>) =>
          node.egress({
            source: parseAddress(source),
            destination: parsePrefix(destination),
            way: "tunnel",
            ...more,
          });
        const other = parseAddress(at.v4.otherNode);
        // The first pod's gateway is the other node.
        row(net.pod, net.all, { node: other });
        row(net.pod, net.excluded, { way: "excluded" });
        row(net.pod, net.nowhere, { way: "none" });
        // This node is the gateway of its second pod and of one on the other node.
        const address: Address = parseAddress(net.egress);
        row(net.second, net.all, { way: "gateway", address });
        row(net.far, net.all, { way: "gateway", address, node: other });
        row(net.far, net.nowhere, { way: "gateway", node: other });
      });
      after(() => node[Symbol.dispose]());

      const tcp = (
        from: string,
        to: string,
        [sport, dport]: readonly [number, number],
        flags: number = Tcp.syn,
      ) => buildPacket({ from, to, transport: { kind: "tcp", sport, dport, flags } });
      const udp = (from: string, to: string, [sport, dport]: readonly [number, number]) =>
        buildPacket({ from, to, transport: { kind: "udp", sport, dport }, payload: Uint8Array.of(1, 2) });
      const bareUdp = (from: string, to: string, [sport, dport]: readonly [number, number]) =>
        barePacket({ from, to, transport: { kind: "udp", sport, dport } });
      const ping = (from: string, to: string, id: number, reply: boolean) =>
        buildPacket({ from, to, transport: { kind: "echo", id, reply } });
      const error = (from: string, to: string, about: Uint8Array) =>
        buildPacket({
          from,
          to,
          transport: { kind: "error", type: v6 ? 2 : 3, code: v6 ? 0 : 4, word: 1400, about },
        });
      const droppedFor = (out: Outcome) => {
        assert.equal(out.action, Action.drop);
        return out.events[0]?.reason;
      };
      /** From the other node's pod out of this one, which is its gateway. */
      const pass = (bytes: Uint8Array) => {
        const out = node.fromOverlay(bytes, 2005);
        assert.equal(out.action, Action.redirect);
        assert.equal(out.packet.source, net.egress);
        return out;
      };
      /** Back from the outside to the other node's pod. */
      const comesBack = (bytes: Uint8Array) => {
        const out = node.fromDevice(bytes);
        assert.equal(out.action, Action.redirect);
        assert.deepEqual(out.tunnel, { vni: world, remote: otherNode });
        assert.equal(out.packet.destination, net.far);
        return out;
      };

      it("takes a pod's packet through the tunnel to its gateway, as the pod sent it", () => {
        const sport = ++port;
        const out = node.fromPod(client, tcp(net.pod, net.world, [sport, 443]));
        assert.equal(out.action, Action.redirect);
        assert.deepEqual(out.tunnel, { vni: 1001, remote: otherNode });
        assert.deepEqual([out.packet.source, out.packet.sport, out.packet.ttl], [net.pod, sport, 63]);
        assert.equal(out.events[0]?.point, TracePoint.toOverlay);
        assert.equal(out.events[0]?.dstIdentity, world);

        const back = node.fromOverlay(tcp(net.world, net.pod, [443, sport], Tcp.syn | Tcp.ack), world);
        assert.equal(back.action, Action.redirect);
        assert.equal(back.packet.destinationMac, "02:00:00:00:01:01");
        assert.equal(back.events[0]?.reason, TraceReason.reply);
      });

      it("judges by the pod's policy first", () => {
        node.policy(60, []);
        node.pod({ ...client, policy: 60, revision: 60, enforce: ["egress"] });
        const out = node.fromPod(client, tcp(net.pod, net.world, [++port, 443]));
        assert.equal(droppedFor(out), DropReason.policyDenied);
        node.pod(client);
      });

      it("sends excluded destinations the usual way, and drops what no node is the gateway for", () => {
        const excluded = node.fromPod(client, tcp(net.pod, net.outside, [++port, 443]));
        assert.deepEqual([excluded.action, excluded.tunnel], [Action.redirect, undefined]);
        assert.equal(node.toDevice(excluded.bytes).packet.source, net.node);
        const dropped = node.fromPod(client, tcp(net.pod, net.dropped, [++port, 443]));
        assert.equal(droppedFor(dropped), DropReason.noEgressGateway);
      });

      it("leaves alone what stays in the cluster, and answers to the outside", () => {
        const pod = node.fromPod(client, tcp(net.pod, net.far, [++port, 80]));
        const tunnelled = routing === "tunnel" ? { vni: 1001, remote: otherNode } : undefined;
        assert.deepEqual([pod.action, pod.tunnel], [Action.redirect, tunnelled]);
        const neighbour = node.fromPod(client, tcp(net.pod, net.second, [++port, 80]));
        assert.equal(neighbour.packet.destinationMac, "02:00:00:00:01:02");
        const toNode = node.fromPod(client, tcp(net.pod, net.otherNode, [++port, 80]));
        assert.equal(toNode.tunnel, undefined);

        const sport = ++port;
        assert.equal(node.fromDevice(tcp(net.world, net.pod, [sport, 80])).action, Action.redirect);
        const answer = node.fromPod(client, tcp(net.pod, net.world, [80, sport], Tcp.syn | Tcp.ack));
        assert.deepEqual([answer.action, answer.tunnel], [Action.redirect, undefined]);
        assert.equal(node.toDevice(answer.bytes).packet.source, net.pod);
      });

      it("never lets out by this node what is too long for the tunnel", () => {
        const transport = { kind: "udp", sport: ++port, dport: 9 } as const;
        const payload = new Uint8Array(1430);
        const out = node.fromPod(client, buildPacket({ from: net.pod, to: net.world, transport, payload }));
        assert.equal(droppedFor(out), DropReason.ipFragmentationNotSupported);
        const spent = node.fromPod(client, buildPacket({ from: net.pod, to: net.world, transport, ttl: 1 }));
        assert.equal(spent.action, Action.pass, "for the stack to say so");
      });

      it("as the gateway gives the egress address, and takes answers back to the pod's node", () => {
        const sport = ++port;
        const out = pass(tcp(net.far, net.world, [sport, 443]));
        const left = out.packet.sport;
        assert.ok(left >= 61_000);
        assert.deepEqual([out.packet.destination, out.packet.dport, out.packet.ttl], [net.world, 443, 63]);
        const [event] = out.events;
        assert.deepEqual(
          [event?.point, event?.reason, event?.saddr, event?.srcIdentity],
          [TracePoint.toNetwork, TraceReason.new, net.far, 2005],
        );
        assert.ok((event?.flags ?? 0) & EventFlag.snat);
        assert.deepEqual(node.toDevice(out.bytes).bytes, out.bytes, "not masqueraded on top");
        const more = pass(tcp(net.far, net.world, [sport, 443], Tcp.ack));
        assert.deepEqual([more.packet.sport, more.events.length], [left, 0]);

        const back = comesBack(tcp(net.world, net.egress, [443, left], Tcp.syn | Tcp.ack));
        assert.deepEqual([back.packet.source, back.packet.dport], [net.world, sport]);
      });

      it("does so for pings and fragments", () => {
        const left = pass(ping(net.far, net.world, 77, false)).packet.sport;
        assert.equal(comesBack(ping(net.world, net.egress, left, true)).packet.sport, 77);

        const sport = ++port;
        const fields = {
          from: net.far,
          to: net.world,
          transport: { kind: "udp", sport, dport: 5000 } as const,
          payload: Uint8Array.from({ length: 900 }, (_, i) => i & 255),
        };
        const whole = readFragments(
          buildFragments(fields, 400).map((part) => node.fromOverlay(part, 2005).bytes),
        );
        assert.equal(whole.source, net.egress);
        const answers = buildFragments(
          {
            ...fields,
            from: net.world,
            to: net.egress,
            transport: { kind: "udp", sport: 5000, dport: whole.sport },
          },
          400,
        );
        const answer = readFragments(answers.map((part) => node.fromDevice(part).bytes));
        assert.deepEqual([answer.destination, answer.dport], [net.far, sport]);
      });

      it("translates ICMP errors both ways", () => {
        const sport = ++port;
        const left = pass(udp(net.far, net.world, [sport, 5001])).packet.sport;
        const told = comesBack(error(net.gateway, net.egress, bareUdp(net.egress, net.world, [left, 5001])));
        assert.deepEqual([told.packet.about?.source, told.packet.about?.sport], [net.far, sport]);

        const out = pass(error(net.far, net.world, bareUdp(net.world, net.far, [5001, sport])));
        assert.deepEqual([out.packet.about?.destination, out.packet.about?.dport], [net.egress, left]);
      });

      it("as the gateway drops whom it does not know, and what it has no address for", () => {
        const stranger = node.fromOverlay(tcp(net.stranger, net.world, [++port, 443]), 2005);
        assert.equal(droppedFor(stranger), DropReason.staleOrUnroutableIp);
        const without = node.fromOverlay(tcp(net.far, net.dropped, [++port, 443]), 2005);
        assert.equal(droppedFor(without), DropReason.noEgressIp);
        const foreign = node.fromOverlay(tcp(net.pod, net.world, [++port, 443]), 2005);
        assert.equal(droppedFor(foreign), DropReason.staleOrUnroutableIp, "another node is its gateway");
      });

      it("takes answers back by another device of its egress addresses, and leaves it all else", () => {
        const ifindex = node.podIfindex({ id: 3, identity: 0 });
        const second = (bytes: Uint8Array) => node.run("from_egress_device", bytes, { ifindex });
        const sport = ++port;
        const left = pass(udp(net.far, net.world, [sport, 53])).packet.sport;
        const back = second(udp(net.world, net.egress, [53, left]));
        assert.deepEqual([back.action, back.tunnel], [Action.redirect, { vni: world, remote: otherNode }]);
        assert.deepEqual([back.packet.destination, back.packet.dport], [net.far, sport]);
        const told = second(error(net.gateway, net.egress, bareUdp(net.egress, net.world, [left, 53])));
        assert.deepEqual([told.packet.about?.source, told.packet.about?.sport], [net.far, sport]);
        const out = node.fromPod(own, tcp(net.second, net.world, [sport, 443]));
        const here = second(tcp(net.world, net.egress, [443, out.packet.sport], Tcp.syn | Tcp.ack));
        assert.deepEqual(
          [here.action, here.packet.destination, here.packet.dport],
          [Action.redirect, net.second, sport],
        );
        for (const bytes of [
          udp(net.outside, net.egress, [53, left]),
          udp(net.world, net.egress, [54, left]),
          tcp(net.world, net.egress, [++port, 22]),
          tcp(net.world, net.second, [++port, 80]),
        ]) {
          const other = second(bytes);
          assert.deepEqual([other.action, other.events], [Action.pass, []]);
          assert.deepEqual(other.bytes, bytes);
        }
        const forged = second(udp(net.node, net.egress, [53, left]));
        assert.equal(forged.action, Action.pass, "nobody it has sent to");
      });

      it("is the gateway of its own pods too", () => {
        const sport = ++port;
        const out = node.fromPod(own, udp(net.second, net.world, [sport, 53]));
        assert.deepEqual(
          [out.action, out.tunnel, out.packet.source],
          [Action.redirect, undefined, net.egress],
        );
        assert.equal(out.events[0]?.saddr, net.second);
        const back = node.fromDevice(udp(net.world, net.egress, [53, out.packet.sport]));
        assert.equal(back.action, Action.redirect);
        assert.deepEqual([back.packet.destination, back.packet.dport], [net.second, sport]);
        assert.equal(back.events[0]?.reason, TraceReason.reply);

        node.service({
          id: 30,
          address: net.vip,
          port: 80,
          proto: Proto.udp,
          backends: [{ id: 300, address: net.world, port: 53 }],
        });
        const asked = node.fromPod(own, udp(net.second, net.vip, [++port, 80]));
        assert.deepEqual([asked.packet.source, asked.packet.destination], [net.egress, net.world]);
        const answer = node.fromDevice(udp(net.world, net.egress, [53, asked.packet.sport]));
        assert.deepEqual(
          [answer.packet.source, answer.packet.sport, answer.packet.destination, answer.packet.dport],
          [net.vip, 80, net.second, port],
        );
        const answered = [...node.nat.entries()].find(
          ([key]) => key.reply && key.dport === asked.packet.sport,
        );
        assert.equal(answered?.[1].frontend, 0, "a Service outside is no NodePort");

        const failed = error(net.second, net.world, bareUdp(net.world, net.second, [53, sport]));
        const told = node.fromPod(own, failed);
        assert.deepEqual([told.packet.source, told.packet.about?.destination], [net.egress, net.egress]);
      });
    });
  }
}

for (const name of ["v4", "v6"] as const) {
  const net = { ...families[name], ...at[name] };
  describe(`the list of what is not masqueraded, ${name}`, () => {
    const udp = (to: string, sport: number) =>
      buildPacket({ from: net.pod, to, transport: { kind: "udp", sport, dport: 53 } });

    it("lets pods go there by their own addresses, and keeps open what is translated", () => {
      using node = TestNode.create(`exempt${name}`, { routing: "native" });
      node.pod({ id: 1, [name]: net.pod, identity: 1001 });
      const before = node.toDevice(udp(net.outside, 1_000)).packet;
      assert.equal(before.source, net.node);
      node.exempt(net.excluded);
      assert.equal(node.toDevice(udp(net.outside, 1_001)).packet.source, net.pod);
      assert.equal(node.toDevice(udp(net.world, 1_002)).packet.source, net.node);
      const again = node.toDevice(udp(net.outside, 1_000)).packet;
      assert.deepEqual([again.source, again.sport], [net.node, before.sport]);
    });

    it("says nothing of other nodes where only the tunnel knows pods", () => {
      for (const routing of ["tunnel", "native"] as const) {
        using node = TestNode.create(`exempt${name}${routing}`, { routing });
        node.pod({ id: 1, [name]: net.pod, identity: 1001 });
        node.exempt(net.all);
        const { source } = node.toDevice(udp(net.otherNode, 1_000)).packet;
        assert.equal(source, routing === "tunnel" ? net.node : net.pod);
        assert.equal(node.toDevice(udp(net.world, 1_001)).packet.source, net.pod);
      }
    });
  });
}
