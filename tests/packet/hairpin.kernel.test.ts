// SPDX-License-Identifier: Apache-2.0
/** A pod reaches itself through a service: it sees an alias as its client, and the service as who answers. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { DropReason, EventFlag, EventType, TracePoint, TraceReason } from "#datapath/layouts/enums.ts";
import { Action, type Outcome, type PodFields, TestNode } from "#kit/datapath.ts";
import { barePacket, buildFragments, buildPacket, Proto, readFragments, Tcp } from "#kit/packet.ts";

const families = {
  v4: { a: "10.0.1.2", b: "10.0.1.3", vip: "10.96.0.10", alias: "169.254.42.1" },
  v6: { a: "fd00:10:0:1::2", b: "fd00:10:0:1::3", vip: "fd00:96::10", alias: "100::ffff:a9fe:2a01" },
} as const;

for (const [name, net] of Object.entries(families)) {
  for (const routing of ["tunnel", "native"] as const) {
    describe(`a pod that reaches itself, ${name}, ${routing}`, () => {
      let node: TestNode;
      let a: PodFields;
      let b: PodFields;
      let port = 20_000;

      before(() => {
        node = TestNode.create(`hair${name}${routing}`, { routing });
        a = node.pod({ id: 1, [name]: net.a, identity: 1001 });
        b = node.pod({ id: 2, [name]: net.b, identity: 1002 });
        const backends = [{ id: 70, address: net.a, port: 8080 }];
        node.service({ id: 7, address: net.vip, port: 80, proto: Proto.tcp, backends });
        node.service({ id: 8, address: net.vip, port: 53, proto: Proto.udp, backends: [{ ...dns, id: 80 }] });
        node.service({
          id: 9,
          address: net.vip,
          port: 81,
          proto: Proto.tcp,
          backends: [{ ...other, id: 90 }],
        });
      });
      after(() => node[Symbol.dispose]());
      const dns = { address: net.a, port: 53 };
      const other = { address: net.b, port: 8080 };

      const tcp = (from: string, to: string, [sport, dport]: readonly [number, number], flags: number) =>
        buildPacket({ from, to, transport: { kind: "tcp", sport, dport, flags } });
      const udp = (from: string, to: string, [sport, dport]: readonly [number, number]) =>
        buildPacket({ from, to, transport: { kind: "udp", sport, dport }, payload: Uint8Array.of(1, 2, 3) });
      const tuple = ({ packet }: Outcome) => [packet.source, packet.sport, packet.destination, packet.dport];
      const dropped = (out: Outcome, reason: number) => {
        assert.equal(out.action, Action.drop);
        assert.equal(out.events[0]?.reason, reason);
      };

      it("is its own client over TCP, and both ends of the flow", () => {
        const sport = ++port;
        const out = node.fromPod(a, tcp(net.a, net.vip, [sport, 80], Tcp.syn));
        assert.equal(out.action, Action.redirect);
        assert.deepEqual(tuple(out), [net.alias, sport, net.a, 8080]);
        assert.deepEqual(
          [out.packet.destinationMac, out.packet.sourceMac, out.packet.ttl],
          ["02:00:00:00:01:01", "02:00:00:00:02:01", 63],
        );
        assert.equal(out.tunnel, undefined);
        const [event] = out.events;
        assert.deepEqual(
          [event?.type, event?.point, event?.reason, event?.frontend],
          [EventType.trace, TracePoint.toEndpoint, TraceReason.new, 7],
        );
        assert.deepEqual([event?.saddr, event?.daddr], [net.a, net.a]);
        assert.deepEqual([event?.srcIdentity, event?.dstIdentity], [1001, 1001]);
        assert.deepEqual([event?.srcEndpoint, event?.dstEndpoint], [1, 1]);
        assert.ok(event && event.flags & EventFlag.snat && event.flags & EventFlag.dnat);

        const answer = node.fromPod(a, tcp(net.a, net.alias, [8080, sport], Tcp.syn | Tcp.ack));
        assert.equal(answer.action, Action.redirect);
        assert.deepEqual(tuple(answer), [net.vip, 80, net.a, sport]);
        assert.equal(answer.events[0]?.reason, TraceReason.reply);
        assert.deepEqual([answer.events[0]?.saddr, answer.events[0]?.daddr], [net.a, net.a]);
        assert.equal(answer.events[0]?.frontend, 7);
        const next = node.fromPod(a, tcp(net.a, net.vip, [sport, 80], Tcp.ack));
        assert.deepEqual(tuple(next), [net.alias, sport, net.a, 8080]);
        assert.equal(next.events.length, 0);
      });

      it("tells two services apart that lead to itself, asked at once from one port", () => {
        const backends = [{ id: 70, address: net.a, port: 8080 }];
        node.service({ id: 11, address: net.vip, port: 82, proto: Proto.tcp, backends });
        const sport = ++port;
        const asked = (dport: number) => node.fromPod(a, tcp(net.a, net.vip, [sport, dport], Tcp.syn));
        const first = asked(80);
        assert.deepEqual(tuple(first), [net.alias, sport, net.a, 8080]);
        const second = asked(82);
        const { sport: other } = second.packet;
        assert.notEqual(other, sport);
        assert.deepEqual(tuple(second), [net.alias, other, net.a, 8080]);
        for (const [from, vport, frontend] of [
          [other, 82, 11],
          [sport, 80, 7],
        ] as const) {
          const answer = node.fromPod(a, tcp(net.a, net.alias, [8080, from ?? 0], Tcp.syn | Tcp.ack));
          assert.deepEqual(tuple(answer), [net.vip, vport, net.a, sport]);
          assert.equal(answer.events[0]?.frontend, frontend);
        }
        const next = node.fromPod(a, tcp(net.a, net.vip, [sport, 82], Tcp.ack));
        assert.deepEqual(tuple(next), [net.alias, other, net.a, 8080], "and goes on so");
      });

      it("is its own client over UDP, even from the port it serves", () => {
        for (const sport of [++port, 53]) {
          const out = node.fromPod(a, udp(net.a, net.vip, [sport, 53]));
          assert.deepEqual(tuple(out), [net.alias, sport, net.a, 53]);
          const answer = node.fromPod(a, udp(net.a, net.alias, [53, sport]));
          assert.deepEqual(tuple(answer), [net.vip, 53, net.a, sport]);
          assert.equal(answer.events[0]?.reason, TraceReason.reply);
        }
      });

      it("sends itself fragments", () => {
        const payload = Uint8Array.from({ length: 900 }, (_, i) => i & 255);
        const sport = ++port;
        const send = (to: string, [from, dport]: readonly [number, number]) => {
          const transport = { kind: "udp", sport: from, dport } as const;
          const frames = buildFragments({ from: net.a, to, transport, payload, id: sport }, 400);
          return readFragments(frames.map((bytes) => node.fromPod(a, bytes).bytes));
        };
        const out = send(net.vip, [sport, 53]);
        assert.deepEqual([out.source, out.sport, out.destination, out.dport], [net.alias, sport, net.a, 53]);
        const answer = send(net.alias, [53, sport]);
        assert.deepEqual(
          [answer.source, answer.sport, answer.destination, answer.dport],
          [net.vip, 53, net.a, sport],
        );
      });

      it("hears that its own port is closed", () => {
        const sport = ++port;
        node.fromPod(a, udp(net.a, net.vip, [sport, 53]));
        const error = (about: number) => {
          const unreachable = name === "v6" ? { type: 1, code: 4 } : { type: 3, code: 3 };
          const transport = { kind: "udp", sport: about, dport: 53 } as const;
          const carried = barePacket({ from: net.alias, to: net.a, transport });
          return buildPacket({
            from: net.a,
            to: net.alias,
            transport: { kind: "error", ...unreachable, about: carried },
          });
        };
        const out = node.fromPod(a, error(sport));
        assert.equal(out.action, Action.redirect);
        assert.deepEqual([out.packet.source, out.packet.destination], [net.vip, net.a]);
        const { about } = out.packet;
        assert.deepEqual(
          [about?.source, about?.sport, about?.destination, about?.dport],
          [net.a, sport, net.vip, 53],
        );
        assert.equal(out.events[0]?.reason, TraceReason.related);
        dropped(node.fromPod(a, error(sport + 5000)), DropReason.staleOrUnroutableIp);
      });

      it("is not denied itself, whatever its policy, before and after a change of it", () => {
        node.policy(41, []);
        const sport = ++port;
        for (const revision of [41, 42]) {
          a = node.pod({ ...a, policy: 41, revision, enforce: ["ingress", "egress"] });
          const flags = revision === 41 ? Tcp.syn : Tcp.ack;
          assert.equal(node.fromPod(a, tcp(net.a, net.vip, [sport, 80], flags)).action, Action.redirect);
          const back = tcp(net.a, net.alias, [8080, sport], flags | Tcp.ack);
          assert.equal(node.fromPod(a, back).action, Action.redirect);
        }
        a = node.pod({ ...a, revision: 43 });
        const first = node.fromPod(a, tcp(net.a, net.alias, [8080, sport], Tcp.ack));
        assert.equal(first.action, Action.redirect, "the answer comes first");
        const denied = node.fromPod(a, tcp(net.a, net.vip, [++port, 81], Tcp.syn));
        dropped(denied, DropReason.policyDenied);
        a = node.pod({ ...a, policy: 0, revision: 1, enforce: [] });
      });

      it("and its neighbour do so from one port side by side", () => {
        const sport = ++port;
        node.service({
          id: 10,
          address: net.vip,
          port: 82,
          proto: Proto.tcp,
          backends: [{ ...other, id: 90 }],
        });
        assert.equal(node.fromPod(a, tcp(net.a, net.vip, [sport, 80], Tcp.syn)).packet.destination, net.a);
        assert.deepEqual(tuple(node.fromPod(b, tcp(net.b, net.vip, [sport, 82], Tcp.syn))), [
          net.alias,
          sport,
          net.b,
          8080,
        ]);
        assert.deepEqual(tuple(node.fromPod(b, tcp(net.b, net.alias, [8080, sport], Tcp.ack))), [
          net.vip,
          82,
          net.b,
          sport,
        ]);
        assert.deepEqual(tuple(node.fromPod(a, tcp(net.a, net.alias, [8080, sport], Tcp.ack))), [
          net.vip,
          80,
          net.a,
          sport,
        ]);
        const toNeighbour = node.fromPod(a, tcp(net.a, net.vip, [sport, 81], Tcp.syn));
        assert.deepEqual(tuple(toNeighbour), [net.a, sport, net.b, 8080], "which sees the pod itself");
      });

      it("has no other use for the alias", () => {
        const sport = ++port;
        node.fromPod(a, tcp(net.a, net.vip, [sport, 80], Tcp.syn));
        const reason = DropReason.staleOrUnroutableIp;
        dropped(node.fromPod(b, tcp(net.b, net.alias, [8080, sport], Tcp.ack)), reason);
        dropped(node.fromPod(a, tcp(net.a, net.alias, [++port, 80], Tcp.syn)), reason);
        const ping = buildPacket({ from: net.a, to: net.alias, transport: { kind: "echo", id: 7 } });
        dropped(node.fromPod(a, ping), reason);
        dropped(node.fromPod(a, tcp(net.alias, net.a, [++port, 80], Tcp.syn)), DropReason.invalidSourceIp);
        // A stranger behind the alias: what answers it is not turned round.
        const stranger = ++port;
        node.fromDevice(tcp(net.alias, net.a, [stranger, 8080], Tcp.syn));
        dropped(node.fromPod(a, tcp(net.a, net.alias, [8080, stranger], Tcp.syn | Tcp.ack)), reason);
      });

      it("gets no answer to a packet that may travel no further", () => {
        const transport = { kind: "tcp", sport: ++port, dport: 80, flags: Tcp.syn } as const;
        const out = node.fromPod(a, buildPacket({ from: net.a, to: net.vip, transport, ttl: 1 }));
        dropped(out, DropReason.ttlExceeded);
      });
    });
  }
}
