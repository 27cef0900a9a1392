// SPDX-License-Identifier: Apache-2.0
/** A packet's life between pods, services and the node: out of one program, into the next, then the answer. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Endpoint, endpointLayout } from "#datapath/layouts/endpoint.ts";
import { DropReason, EventFlag, EventType, TracePoint, TraceReason } from "#datapath/layouts/enums.ts";
import type { Layout } from "#kernel/bpf/layout.ts";
import { perCpu, u32Layout } from "#kernel/bpf/typed-map.ts";
import { Action, at, type PodFields, TestNode } from "#kit/datapath.ts";
import { barePacket, buildFragments, buildPacket, Proto, readFragments, Tcp } from "#kit/packet.ts";
import { addressBytes, parseAddress } from "#model/ip.ts";

const families = {
  v4: { a: "10.0.1.2", b: "10.0.1.3", remote: "10.0.2.5", vip: "10.96.0.10", echo: Proto.icmp },
  v6: {
    a: "fd00:10:0:1::2",
    b: "fd00:10:0:1::3",
    remote: "fd00:10:0:2::5",
    vip: "fd00:96::10",
    echo: Proto.icmp6,
  },
} as const;

/** The row in a `struct near_endpoint`. */
const nearRowLayout: Layout<Endpoint> = {
  name: "near_endpoint",
  size: 8 + endpointLayout.size,
  read: (view, offset) => endpointLayout.read(view, offset + 8),
  write: (view, offset, row) => endpointLayout.write(view, offset + 8, row),
};

const wide = { proto: 0, portBits: 0, port: 0 } as const;

for (const name of ["v4", "v6"] as const) {
  const net = { ...families[name], ...at[name] };
  const v6 = name === "v6";

  describe(`pods, ${name}`, () => {
    let node: TestNode;
    let a: PodFields;
    let b: PodFields;
    let port = 20_000;

    before(() => {
      node = TestNode.create(`pod${name}`, { routing: "tunnel" });
      a = node.pod({ id: 1, [name]: net.a, identity: 1001 });
      b = node.pod({ id: 2, [name]: net.b, identity: 1002 });
      node.identify(v6 ? "fd00:10:0:2::5/128" : "10.0.2.5/32", 2005, at.v4.otherNode);
    });
    after(() => node[Symbol.dispose]());

    const tcp = (from: string, to: string, [sport, dport]: readonly [number, number], flags: number) =>
      buildPacket({ from, to, transport: { kind: "tcp", sport, dport, flags } });
    const udp = (from: string, to: string, [sport, dport]: readonly [number, number]) =>
      buildPacket({ from, to, transport: { kind: "udp", sport, dport }, payload: Uint8Array.of(1, 2, 3) });

    it("go to a pod of the same node in one step, and the answer back", () => {
      const sport = ++port;
      const out = node.fromPod(a, tcp(net.a, net.b, [sport, 80], Tcp.syn));
      assert.equal(out.action, Action.redirect);
      assert.equal(out.packet.ttl, 63);
      assert.equal(out.packet.destinationMac, "02:00:00:00:01:02");
      assert.equal(out.packet.sourceMac, "02:00:00:00:02:02");
      assert.equal(out.events.length, 1);
      const [event] = out.events;
      assert.equal(event?.type, EventType.trace);
      assert.equal(event?.point, TracePoint.toEndpoint);
      assert.equal(event?.reason, TraceReason.new);
      assert.deepEqual(
        [event?.srcIdentity, event?.dstIdentity, event?.srcEndpoint, event?.dstEndpoint],
        [1001, 1002, 1, 2],
      );
      assert.ok(event && event.flags & EventFlag.first && event.flags & EventFlag.egressJudged);
      assert.ok(event && event.flags & EventFlag.ingressJudged && !(event.flags & EventFlag.reply));

      const answer = node.fromPod(b, tcp(net.b, net.a, [80, sport], Tcp.syn | Tcp.ack));
      assert.equal(answer.action, Action.redirect);
      assert.equal(answer.events[0]?.reason, TraceReason.reply);
      assert.ok(answer.events[0] && answer.events[0].flags & EventFlag.reply);
      assert.equal(
        node.fromPod(a, tcp(net.a, net.b, [sport, 80], Tcp.ack)).events.length,
        0,
        "no event per packet",
      );
    });

    it("are who their rows say from the moment these are written", () => {
      const ask = () => node.fromPod(a, tcp(net.a, net.b, [++port, 80], Tcp.syn));
      const ends = ({ events: [event] }: ReturnType<typeof ask>) => [event?.srcIdentity, event?.dstIdentity];
      assert.deepEqual(ends(ask()), [1001, 1002]);
      node.pod({ ...a, identity: 1011 });
      assert.deepEqual(ends(ask()), [1011, 1002]);
      node.pod({ ...b, identity: 1012 });
      assert.deepEqual(ends(ask()), [1011, 1012]);
      assert.ok(node.map("endpoints_by_addr").delete(addressBytes(parseAddress(net.b))));
      assert.equal(ends(ask())[1], v6 ? 10 : 9, "nobody has the address");
      node.pod(a);
      node.pod(b);
      assert.deepEqual(ends(ask()), [1001, 1002]);
    });

    it("with neighbouring addresses have their rows at hand beside each other", () => {
      const others = Array.from({ length: 8 }, (_, i) => net.b.replace(/3$/, `${20 + i}`));
      for (const other of others) {
        node.pod({ id: 3, [name]: other, identity: 1003 });
        node.fromPod(a, udp(net.a, other, [++port, 53]));
        node.forgetAddress(other);
      }
      const places = node.typed("near_addresses", u32Layout, perCpu(nearRowLayout)).entries();
      const atHand = new Set([...places].flatMap(([, rows]) => rows.map(({ [name]: address }) => address)));
      assert.deepEqual(
        others.filter((other) => !atHand.has(parseAddress(other))),
        [],
      );
    });

    it("may not send from an address that is not theirs", () => {
      const out = node.fromPod(a, udp(net.b, net.remote, [++port, 53]));
      assert.equal(out.action, Action.drop);
      assert.equal(out.events[0]?.reason, DropReason.invalidSourceIp);
      assert.deepEqual([out.events[0]?.srcIdentity, out.events[0]?.dstIdentity], [1001, 2005]);
    });

    it("that may send from any address are judged as themselves, and known to others by the address", () => {
      const gateway = node.pod({ ...a, anySource: true, policy: 90, enforce: ["egress"] });
      node.policy(90, [
        { direction: "egress", identity: 2005, verdict: "allow", precedence: 101, rule: 900, ...wide },
      ]);
      const out = node.fromPod(gateway, udp(net.world, net.remote, [++port, 53]));
      assert.deepEqual([out.action, out.tunnel?.vni], [Action.redirect, 1001]);
      assert.deepEqual([out.events[0]?.srcIdentity, out.events[0]?.egressRule], [1001, 900]);
      const denied = node.fromPod(gateway, udp(net.world, net.b, [++port, 53]));
      assert.equal(denied.events[0]?.reason, DropReason.policyDenied, "its own egress policy holds");
      const back = node.pod(a);
      assert.equal(node.fromPod(back, udp(net.world, net.remote, [++port, 53])).action, Action.drop);
    });

    it("go to another node through the tunnel with their identity", () => {
      const sport = ++port;
      const out = node.fromPod(a, udp(net.a, net.remote, [sport, 53]));
      assert.equal(out.action, Action.redirect);
      assert.deepEqual(out.tunnel, { vni: 1001, remote: 0xc0a80114 });
      assert.equal(out.packet.ttl, 63);
      assert.equal(out.events[0]?.point, TracePoint.toOverlay);
      const answer = node.fromOverlay(udp(net.remote, net.a, [53, sport]), 2005);
      assert.equal(answer.action, Action.redirect);
      assert.equal(answer.packet.destinationMac, "02:00:00:00:01:01");
      assert.equal(answer.events[0]?.reason, TraceReason.reply);
      assert.equal(answer.events[0]?.srcIdentity, 2005);
    });

    it("reach their node by its stack, and the node them", () => {
      const sport = ++port;
      const out = node.fromPod(a, tcp(net.a, net.node, [sport, 6443], Tcp.syn));
      assert.equal(out.action, Action.pass);
      assert.equal(out.events[0]?.point, TracePoint.toHost);
      assert.equal(out.events[0]?.dstIdentity, 1);
      const answer = node.toPod(a, tcp(net.node, net.a, [6443, sport], Tcp.syn | Tcp.ack));
      assert.equal(answer.action, Action.pass);
      assert.equal(answer.events[0]?.reason, TraceReason.reply);
      const probe = node.toPod(b, tcp(net.node, net.b, [++port, 8080], Tcp.syn));
      assert.equal(probe.action, Action.pass);
      assert.equal(probe.events[0]?.srcIdentity, 1);
    });

    it("reach the world by the device", () => {
      const out = node.fromPod(a, tcp(net.a, net.world, [++port, 443], Tcp.syn));
      assert.equal(out.action, Action.redirect);
      assert.equal(out.events[0]?.point, TracePoint.toNetwork);
      assert.equal(out.events[0]?.dstIdentity, v6 ? 10 : 9);
    });

    it("with an exhausted time to live are left to the stack", () => {
      const transport = { kind: "udp", sport: ++port, dport: 53 } as const;
      for (const to of [net.b, net.remote, net.world]) {
        const out = node.fromPod(a, buildPacket({ from: net.a, to, transport, ttl: 1 }));
        assert.equal(out.action, Action.pass, to);
        assert.equal(out.packet.ttl, 1);
      }
    });

    it("with packets too big for the tunnel are left to the stack", () => {
      const transport = { kind: "udp", sport: ++port, dport: 53 } as const;
      const out = node.fromPod(
        a,
        buildPacket({ from: net.a, to: net.remote, transport, payload: new Uint8Array(1430) }),
      );
      assert.equal(out.action, Action.pass);
      assert.equal(out.tunnel, undefined);
    });

    it("reach a service's backend, whose answer shows the service", () => {
      node.service({
        id: 7,
        address: net.vip,
        port: 80,
        proto: Proto.tcp,
        backends: [{ id: 70, address: net.b, port: 8080 }],
      });
      const sport = ++port;
      const out = node.fromPod(a, tcp(net.a, net.vip, [sport, 80], Tcp.syn));
      assert.equal(out.action, Action.redirect);
      assert.deepEqual([out.packet.destination, out.packet.dport], [net.b, 8080]);
      assert.equal(out.events[0]?.frontend, 7);
      assert.ok(out.events[0] && out.events[0].flags & EventFlag.dnat);
      const answer = node.fromPod(b, tcp(net.b, net.a, [8080, sport], Tcp.syn | Tcp.ack));
      assert.deepEqual([answer.packet.source, answer.packet.sport], [net.vip, 80]);
      assert.equal(answer.packet.destinationMac, "02:00:00:00:01:01");
      assert.equal(answer.events[0]?.frontend, 7);
    });

    it("reach a service's backend on another node over UDP", () => {
      node.service({
        id: 8,
        address: net.vip,
        port: 53,
        proto: Proto.udp,
        backends: [{ id: 80, address: net.remote, port: 5353 }],
      });
      const sport = ++port;
      const out = node.fromPod(a, udp(net.a, net.vip, [sport, 53]));
      assert.deepEqual([out.packet.destination, out.packet.dport, out.tunnel?.vni], [net.remote, 5353, 1001]);
      const answer = node.fromOverlay(udp(net.remote, net.a, [5353, sport]), 2005);
      assert.deepEqual([answer.packet.source, answer.packet.sport], [net.vip, 53]);
    });

    it("with session affinity keep their backend until it is gone", () => {
      const backends = [1, 2, 3, 4].map((n) => ({ id: 900 + n, address: net.b, port: 9000 + n }));
      const service = { id: 12, address: net.vip, port: 90, proto: Proto.tcp, affinitySec: 60, backends };
      node.service(service);
      const connect = () => node.fromPod(a, tcp(net.a, net.vip, [++port, 90], Tcp.syn)).packet.dport;
      const first = connect();
      assert.ok(Array.from({ length: 20 }, connect).every((one) => one === first));
      const left = backends.filter((backend) => backend.port !== first);
      node.service({ ...service, backends: [...left, { id: 999, address: net.b, port: 9999 }] });
      const second = connect();
      assert.notEqual(second, first);
      assert.ok(Array.from({ length: 20 }, connect).every((one) => one === second));
      node.service({ ...service, affinitySec: 0 });
      assert.ok(new Set(Array.from({ length: 60 }, connect)).size > 1, "spread without affinity");
    });

    it("find no backend where a service has none", () => {
      node.service({ id: 9, address: net.vip, port: 81, proto: Proto.tcp, backends: [] });
      const out = node.fromPod(a, tcp(net.a, net.vip, [++port, 81], Tcp.syn));
      assert.equal(out.events[0]?.reason, DropReason.serviceBackendNotFound);
      assert.equal(out.events[0]?.frontend, 9);
    });

    it("ping", () => {
      const ping = (from: string, to: string, reply: boolean) =>
        buildPacket({ from, to, transport: { kind: "echo", id: 77, reply } });
      const out = node.fromPod(a, ping(net.a, net.b, false));
      assert.equal(out.action, Action.redirect);
      assert.equal(out.packet.proto, net.echo);
      const answer = node.fromPod(b, ping(net.b, net.a, true));
      assert.equal(answer.action, Action.redirect);
      assert.equal(answer.events[0]?.reason, TraceReason.reply);
    });

    it("ping: who was pinged may not ping back unjudged, not even with the same id", () => {
      node.policy(41, []);
      let revision = 50;
      for (const [asks, other] of [
        [a, b],
        [b, a],
      ] as const) {
        revision++;
        const asker = node.pod({ ...asks, policy: 41, revision, enforce: ["ingress"] });
        const asked = node.pod({ ...other, policy: 0, revision, enforce: [] });
        const [mine, theirs] = asks.id === a.id ? [net.a, net.b] : [net.b, net.a];
        const ping = (from: string, to: string, reply: boolean) =>
          buildPacket({ from, to, transport: { kind: "echo", id: revision, reply } });
        assert.equal(node.fromPod(asker, ping(mine, theirs, false)).action, Action.redirect);
        const back = node.fromPod(asked, ping(theirs, mine, false));
        assert.equal(back.action, Action.drop);
        assert.equal(back.events[0]?.reason, DropReason.policyDenied);
        assert.equal(node.fromPod(asked, ping(theirs, mine, true)).events[0]?.reason, TraceReason.reply);
      }
      a = node.pod({ ...a, policy: 0, revision: 1, enforce: [] });
      b = node.pod({ ...b, policy: 0, revision: 1, enforce: [] });
    });

    it("hear 'fragmentation needed' about a flow of theirs, and nothing about another", () => {
      node.policy(40, []);
      a = node.pod({ ...a, policy: 40, revision: 40, enforce: ["ingress"] });
      const sport = ++port;
      node.fromPod(a, udp(net.a, net.remote, [sport, 53]));
      const error = (about: number) =>
        buildPacket({
          from: net.router,
          to: net.a,
          transport: {
            kind: "error",
            type: v6 ? 2 : 3,
            code: v6 ? 0 : 4,
            word: 1430,
            about: barePacket({
              from: net.a,
              to: net.remote,
              transport: { kind: "udp", sport: about, dport: 53 },
            }),
          },
        });
      const out = node.toPod(a, error(sport));
      assert.equal(out.action, Action.pass);
      assert.equal(out.events[0]?.reason, TraceReason.related);
      const unrelated = node.toPod(a, error(sport + 5000));
      assert.equal(unrelated.action, Action.drop);
      assert.equal(unrelated.events[0]?.reason, DropReason.policyDenied);
      a = node.pod({ ...a, policy: 0, revision: 41, enforce: [] });
    });

    it("send errors about a service's connection that show the service", () => {
      node.service({
        id: 11,
        address: net.vip,
        port: 5300,
        proto: Proto.udp,
        backends: [{ id: 110, address: net.b, port: 5301 }],
      });
      const sport = ++port;
      node.fromPod(a, udp(net.a, net.vip, [sport, 5300]));
      const about = barePacket({ from: net.a, to: net.b, transport: { kind: "udp", sport, dport: 5301 } });
      const out = node.fromPod(
        b,
        buildPacket({
          from: net.b,
          to: net.a,
          transport: { kind: "error", type: v6 ? 1 : 3, code: v6 ? 4 : 3, about },
        }),
      );
      assert.equal(out.action, Action.redirect);
      assert.equal(out.packet.source, net.vip);
      assert.deepEqual(
        [
          out.packet.about?.source,
          out.packet.about?.destination,
          out.packet.about?.sport,
          out.packet.about?.dport,
        ],
        [net.a, net.vip, sport, 5300],
      );
    });

    it("send fragments: the later ones follow the first, and are lost without it", () => {
      const fields = {
        from: net.a,
        to: net.vip,
        id: 0x4242,
        transport: { kind: "udp", sport: ++port, dport: 5300 } as const,
        payload: Uint8Array.from({ length: 900 }, (_, i) => i & 255),
      };
      const outs = buildFragments(fields, 400).map((bytes) => node.fromPod(a, bytes));
      assert.deepEqual(
        outs.map((out) => out.action),
        [Action.redirect, Action.redirect, Action.redirect],
      );
      const whole = readFragments(outs.map((out) => out.bytes));
      assert.deepEqual([whole.destination, whole.dport], [net.b, 5301]);
      const lost = node.fromPod(a, buildFragments({ ...fields, id: 0x4343 }, 400)[1]!);
      assert.equal(lost.action, Action.drop);
      assert.equal(lost.events[0]?.reason, DropReason.firstLogicalDatagramFragmentNotFound);
    });

    it("with packets cut short are refused", () => {
      for (const length of v6 ? [54, 56, 66] : [34, 36, 46]) {
        const out = node.fromPod(a, tcp(net.a, net.b, [1, 2], Tcp.syn).subarray(0, length));
        assert.equal(out.action, Action.drop, `${length} bytes`);
      }
    });

    if (!v6) return;

    it("are spared events about neighbour discovery and such", () => {
      for (const type of [133, 135, 136, 143]) {
        const out = node.fromPod(
          a,
          buildPacket({
            from: "fe80::1",
            to: "ff02::2",
            transport: { kind: "icmp", type, code: 0 },
            ttl: 255,
          }),
        );
        assert.deepEqual([out.action, out.events.length], [Action.pass, 0], `type ${type}`);
      }
      const solicitation = { kind: "icmp", type: 135, code: 0 } as const;
      const toNode = buildPacket({ from: net.a, to: net.router, transport: solicitation, ttl: 255 });
      assert.equal(node.fromPod(a, toNode).events.length, 0);
      const beyond = node.fromPod(
        a,
        buildPacket({ from: net.b, to: net.remote, transport: solicitation, ttl: 255 }),
      );
      assert.equal(beyond.events[0]?.reason, DropReason.invalidSourceIp, "and it is no way out");
      const advertisement = { kind: "icmp", type: 134, code: 0 } as const;
      const out = node.fromPod(
        a,
        buildPacket({ from: "fe80::1", to: "ff02::1", transport: advertisement, ttl: 255 }),
      );
      assert.equal(out.action, Action.drop, "a pod is no router");
    });

    it("may use extension headers", () => {
      const transport = { kind: "tcp", sport: ++port, dport: 80, flags: Tcp.syn } as const;
      const out = node.fromPod(a, buildPacket({ from: net.a, to: net.b, transport, extensions: 3 }));
      assert.equal(out.action, Action.redirect);
      assert.equal(out.events[0]?.dport, 80);
      const endless = node.fromPod(a, buildPacket({ from: net.a, to: net.b, transport, extensions: 7 }));
      assert.equal(endless.events[0]?.reason, DropReason.invalidIpv6ExtensionHeader);
    });
  });
}
