// SPDX-License-Identifier: Apache-2.0
/** A packet's life between the outside and pods: masquerade, NodePort, ICMP errors through both, fragments. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { uptime } from "node:os";
import { after, before, describe, it } from "node:test";
import { DropReason, TracePoint, TraceReason } from "#datapath/layouts/enums.ts";
import { Action, at, type PodFields, TestNode } from "#kit/datapath.ts";
import { barePacket, buildFragments, buildPacket, Proto, readFragments, Tcp } from "#kit/packet.ts";

const families = {
  v4: { pod: "10.0.1.2", pods: "/32", remote: "10.0.2.5", vip: "10.96.0.10", client: "198.51.100.9" },
  v6: {
    pod: "fd00:10:0:1::2",
    pods: "/128",
    remote: "fd00:10:0:2::5",
    vip: "fd00:96::10",
    client: "2001:db8:9::9",
  },
} as const;

const NODE_PORT = 30_080;

for (const routing of ["tunnel", "native"] as const) {
  for (const name of ["v4", "v6"] as const) {
    const net = { ...families[name], ...at[name] };
    const v6 = name === "v6";
    const world = v6 ? 10 : 9;

    describe(`the device, ${name}, ${routing}`, () => {
      let node: TestNode;
      let pod: PodFields;
      let port = 20_000;

      before(() => {
        node = TestNode.create(`host${name}${routing}`, { routing });
        pod = node.pod({ id: 1, [name]: net.pod, identity: 1001 });
        node.identify(`${net.remote}${net.pods}`, 2005, routing === "tunnel" ? at.v4.otherNode : undefined);
        node.service({
          id: 20,
          address: net.node,
          port: NODE_PORT,
          proto: Proto.tcp,
          type: "NodePort",
          backends: [{ id: 200, address: net.pod, port: 8080 }],
        });
        node.service({
          id: 21,
          address: net.node,
          port: NODE_PORT + 1,
          proto: Proto.udp,
          type: "NodePort",
          backends: [{ id: 210, address: net.remote, port: 8080 }],
        });
      });
      after(() => node[Symbol.dispose]());

      type Ports = readonly [number, number];
      const tcp = (from: string, to: string, [sport, dport]: Ports, flags: number) =>
        buildPacket({ from, to, transport: { kind: "tcp", sport, dport, flags } });
      const udp = (from: string, to: string, [sport, dport]: Ports, payload = Uint8Array.of(1, 2, 3)) =>
        buildPacket({ from, to, transport: { kind: "udp", sport, dport }, payload });
      const error = (fields: { from: string; to: string; about: Uint8Array }) =>
        buildPacket({
          from: fields.from,
          to: fields.to,
          transport: { kind: "error", type: v6 ? 2 : 3, code: v6 ? 0 : 4, word: 1400, about: fields.about },
        });
      const bareUdp = (from: string, to: string, [sport, dport]: Ports) =>
        barePacket({ from, to, transport: { kind: "udp", sport, dport } });

      /** From the pod out of the device; the port it left with. */
      const leave = (bytes: Uint8Array) => {
        const sent = node.fromPod(pod, bytes);
        assert.equal(sent.action, Action.redirect);
        const out = node.toDevice(sent.bytes);
        assert.equal(out.action, Action.pass);
        assert.equal(out.packet.source, net.node);
        return out.packet.sport;
      };

      it("gives a pod's connection to the world the node's address, and its answers back to the pod", () => {
        const sport = ++port;
        const left = leave(tcp(net.pod, net.world, [sport, 443], Tcp.syn));
        assert.ok(left >= 61_000);
        assert.equal(leave(tcp(net.pod, net.world, [sport, 443], Tcp.ack)), left, "one port a connection");
        const back = node.fromDevice(tcp(net.world, net.node, [443, left], Tcp.syn | Tcp.ack));
        assert.equal(back.action, Action.redirect);
        assert.deepEqual([back.packet.destination, back.packet.dport], [net.pod, sport]);
        assert.equal(back.packet.destinationMac, "02:00:00:00:01:01");
        assert.equal(back.events[0]?.reason, TraceReason.reply);
        assert.equal(back.events[0]?.srcIdentity, world);
      });

      it("lets the port go soon when both have ended, and not when one has", () => {
        const sport = ++port;
        const left = leave(tcp(net.pod, net.world, [sport, 443], Tcp.syn));
        /** Seconds the answers' way is kept from now on. */
        const kept = () => {
          const [, entry] = [...node.nat.entries()].find(([key]) => key.reply === 1 && key.dport === left)!;
          return entry.expiresSec - Math.floor(uptime());
        };
        const answer = (flags: number) => node.fromDevice(tcp(net.world, net.node, [443, left], flags));
        assert.equal(answer(Tcp.syn | Tcp.ack).action, Action.redirect);
        assert.ok(kept() > 3_600);
        leave(tcp(net.pod, net.world, [sport, 443], Tcp.fin | Tcp.ack));
        assert.ok(kept() > 30, "the other side may still have much to say");
        assert.equal(answer(Tcp.fin | Tcp.ack).action, Action.redirect);
        leave(tcp(net.pod, net.world, [sport, 443], Tcp.ack));
        assert.ok(kept() <= 11);
      });

      it("does so for datagrams without a checksum, pings and fragments", () => {
        const sport = ++port;
        if (!v6) {
          const bare = { kind: "udp", sport, dport: 9, checksum: false } as const;
          leave(buildPacket({ from: net.pod, to: net.world, transport: bare, payload: Uint8Array.of(1) }));
        }
        const ping = (from: string, to: string, id: number, reply: boolean) =>
          buildPacket({ from, to, transport: { kind: "echo", id, reply } });
        const left = leave(ping(net.pod, net.world, 77, false));
        const pong = node.fromDevice(ping(net.world, net.node, left, true));
        assert.deepEqual(
          [pong.action, pong.packet.destination, pong.packet.sport],
          [Action.redirect, net.pod, 77],
        );
        assert.equal(pong.events[0]?.reason, TraceReason.reply);

        const fields = {
          from: net.pod,
          to: net.world,
          transport: { kind: "udp", sport, dport: 5000 } as const,
          payload: Uint8Array.from({ length: 900 }, (_, i) => i & 255),
        };
        const parts = buildFragments(fields, 400).map(
          (bytes) => node.toDevice(node.fromPod(pod, bytes).bytes).bytes,
        );
        const whole = readFragments(parts);
        assert.equal(whole.source, net.node);
        const answers = buildFragments(
          {
            ...fields,
            from: net.world,
            to: net.node,
            transport: { kind: "udp", sport: 5000, dport: whole.sport },
          },
          400,
        ).map((bytes) => node.fromDevice(bytes));
        assert.ok(answers.every(({ action }) => action === Action.redirect));
        const answer = readFragments(answers.map(({ bytes }) => bytes));
        assert.deepEqual([answer.destination, answer.dport], [net.pod, sport]);
      });

      it("gives an ICMP error about a masqueraded packet to the pod, as if the pod had been seen", () => {
        const sport = ++port;
        const left = leave(udp(net.pod, net.world, [sport, 5001]));
        const about = bareUdp(net.node, net.world, [left, 5001]);
        const back = node.fromDevice(error({ from: net.gateway, to: net.node, about }));
        assert.equal(back.action, Action.redirect);
        assert.equal(back.packet.destination, net.pod);
        assert.deepEqual([back.packet.about?.source, back.packet.about?.sport], [net.pod, sport]);
        assert.equal(back.events[0]?.reason, TraceReason.related);
      });

      it("shows in a pod's own ICMP error what the outside had sent", () => {
        const sport = ++port;
        const left = leave(udp(net.pod, net.world, [sport, 5002]));
        const about = bareUdp(net.world, net.pod, [5002, sport]);
        const sent = node.fromPod(pod, error({ from: net.pod, to: net.world, about }));
        assert.equal(sent.action, Action.redirect);
        const out = node.toDevice(sent.bytes);
        assert.equal(out.packet.source, net.node);
        assert.deepEqual([out.packet.about?.destination, out.packet.about?.dport], [net.node, left]);
      });

      it("leaves alone what stays in the cluster and what is not a pod's", () => {
        const own = udp(net.node, net.world, [++port, 53]);
        assert.deepEqual(node.toDevice(own).bytes, own);
        const inside = udp(net.pod, net.remote, [++port, 53]);
        assert.deepEqual(node.toDevice(inside).bytes, inside);
        const toNode = node.toDevice(udp(net.pod, net.otherNode, [++port, 53]));
        assert.equal(toNode.packet.source, routing === "tunnel" ? net.node : net.pod);
        const foreign = udp(net.world, net.node, [443, 22]);
        const passed = node.fromDevice(foreign);
        assert.deepEqual([passed.action, passed.events.length], [Action.pass, 0]);
        assert.deepEqual(passed.bytes, foreign);
      });

      it("leads a NodePort to a pod of this node and shows the node's address in the answer", () => {
        const sport = ++port;
        const inward = node.fromDevice(tcp(net.client, net.node, [sport, NODE_PORT], Tcp.syn));
        assert.equal(inward.action, Action.redirect);
        assert.deepEqual(
          [inward.packet.source, inward.packet.destination, inward.packet.dport],
          [net.client, net.pod, 8080],
        );
        assert.equal(inward.events[0]?.srcIdentity, world);
        assert.equal(inward.events[0]?.frontend, 20);
        const answer = node.fromPod(pod, tcp(net.pod, net.client, [8080, sport], Tcp.syn | Tcp.ack));
        assert.equal(answer.action, Action.redirect);
        assert.deepEqual([answer.packet.source, answer.packet.sport], [net.node, NODE_PORT]);
        assert.equal(answer.events[0]?.point, TracePoint.toNetwork);
        assert.deepEqual(node.toDevice(answer.bytes).bytes, answer.bytes, "not masqueraded on top");
      });

      it("leads a NodePort to a pod of another node, and its answer back to the client", () => {
        const sport = ++port;
        const inward = node.fromDevice(udp(net.client, net.node, [sport, NODE_PORT + 1]));
        assert.equal(inward.action, Action.redirect);
        assert.deepEqual([inward.packet.destination, inward.packet.dport], [net.remote, 8080]);
        const tunnel = routing === "tunnel";
        assert.equal(inward.packet.source, tunnel ? net.router : net.node);
        assert.deepEqual(inward.tunnel, tunnel ? { vni: world, remote: 0xc0a80114 } : undefined);
        assert.equal(inward.events[0]?.reason, TraceReason.new);
        assert.equal(inward.events[0]?.point, tunnel ? TracePoint.toOverlay : TracePoint.toNetwork);

        const left = inward.packet.sport;
        const reply = udp(net.remote, inward.packet.source, [8080, left]);
        const out = tunnel ? node.fromOverlay(reply, 2005) : node.fromDevice(reply);
        assert.equal(out.action, Action.redirect);
        assert.deepEqual(
          [out.packet.source, out.packet.sport, out.packet.destination, out.packet.dport],
          [net.node, NODE_PORT + 1, net.client, sport],
        );

        const about = bareUdp(inward.packet.source, net.remote, [left, 8080]);
        const failed = error({ from: net.remote, to: inward.packet.source, about });
        const told = tunnel ? node.fromOverlay(failed, 2005) : node.fromDevice(failed);
        assert.equal(told.action, Action.redirect);
        assert.deepEqual([told.packet.source, told.packet.destination], [net.node, net.client]);
        assert.deepEqual(
          [told.packet.about?.source, told.packet.about?.destination, told.packet.about?.dport],
          [net.client, net.node, NODE_PORT + 1],
        );
      });

      it("tells another node of a client no more than that node can know", () => {
        if (routing === "native") return;
        const bits = name === "v6" ? "/128" : "/32";
        const vniOf = (from: string) =>
          node.fromDevice(udp(from, net.node, [++port, NODE_PORT + 1])).tunnel?.vni;
        node.identify(net.client + bits, 0x01_00_12_34);
        assert.equal(vniOf(net.client), world, "a CIDR has its identity on this node only");
        node.identify(net.client + bits, 0x02_00_12_34);
        assert.equal(vniOf(net.client), 6);
        node.identify(net.client + bits, world);
      });

      it("says what it cannot carry to a backend of another node", () => {
        const fields = {
          from: net.client,
          to: net.node,
          transport: { kind: "udp", sport: ++port, dport: NODE_PORT + 1 } as const,
        };
        const spent = node.fromDevice(buildPacket({ ...fields, ttl: 1 }));
        assert.equal(spent.events[0]?.reason, DropReason.ttlExceeded);
        const big = node.fromDevice(buildPacket({ ...fields, payload: new Uint8Array(1430) }));
        if (routing === "tunnel") assert.equal(big.events[0]?.reason, DropReason.ipFragmentationNotSupported);
        else assert.equal(big.action, Action.redirect);
      });

      it("leads a NodePort to a process of the node itself, and turns its answer round", () => {
        node.service({
          id: 23,
          address: net.node,
          port: NODE_PORT + 3,
          proto: Proto.tcp,
          type: "NodePort",
          backends: [{ id: 230, address: net.node, port: 6443 }],
        });
        const sport = ++port;
        const inward = node.fromDevice(tcp(net.client, net.node, [sport, NODE_PORT + 3], Tcp.syn));
        assert.equal(inward.action, Action.pass);
        assert.equal(inward.packet.dport, 6443);
        assert.equal(inward.events[0]?.point, TracePoint.toHost);
        const answer = node.toDevice(tcp(net.node, net.client, [6443, sport], Tcp.syn | Tcp.ack));
        assert.equal(answer.action, Action.pass);
        assert.equal(answer.packet.sport, NODE_PORT + 3);
      });

      it("refuses service addresses that are for the inside only", () => {
        node.service({ id: 22, address: net.vip, port: 80, proto: Proto.tcp, backends: [] });
        const out = node.fromDevice(tcp(net.client, net.vip, [++port, 80], Tcp.syn));
        assert.equal(out.action, Action.drop);
        assert.equal(out.events[0]?.reason, DropReason.isAClusterip);
      });

      it("believes nobody outside to be a pod of this node or the node itself", () => {
        for (const from of [net.pod, net.node, net.router]) {
          const out = node.fromDevice(tcp(from, net.pod, [++port, 80], Tcp.syn));
          assert.equal(out.action, Action.drop, from);
          assert.equal(out.events[0]?.reason, DropReason.invalidSourceIp);
        }
        const out = node.fromDevice(tcp(net.remote, net.pod, [++port, 80], Tcp.syn));
        assert.equal(out.events[0]?.srcIdentity, routing === "tunnel" ? world : 2005);
      });

      it("judges who comes to a pod's own address, and does not masquerade the answer", () => {
        const sport = ++port;
        const inward = node.fromDevice(tcp(net.client, net.pod, [sport, 80], Tcp.syn));
        assert.equal(inward.action, Action.redirect);
        const answer = node.fromPod(pod, tcp(net.pod, net.client, [80, sport], Tcp.syn | Tcp.ack));
        assert.equal(node.toDevice(answer.bytes).packet.source, net.pod);
        node.policy(50, []);
        pod = node.pod({ ...pod, policy: 50, revision: 50, enforce: ["ingress"] });
        const denied = node.fromDevice(tcp(net.client, net.pod, [++port, 80], Tcp.syn));
        assert.equal(denied.events[0]?.reason, DropReason.policyDenied);
        pod = node.pod({ ...pod, policy: 0, revision: 51, enforce: [] });
      });
    });
  }
}

describe("masquerade with few ports", () => {
  it("runs out of them for one destination only, and says so", () => {
    using node = TestNode.create("few", {
      routing: "tunnel",
      config: { natPortMin: 61_000, natPortMax: 61_003 },
    });
    const pod = node.pod({ id: 1, v4: "10.0.1.2", identity: 1001 });
    const leave = (to: string, sport: number) =>
      node.toDevice(buildPacket({ from: "10.0.1.2", to, transport: { kind: "udp", sport, dport: 53 } }));
    const ports = [1, 2, 3, 4].map((n) => leave("203.0.113.7", 20_000 + n).packet.sport);
    assert.deepEqual(ports.toSorted(), [61_000, 61_001, 61_002, 61_003]);
    const out = leave("203.0.113.7", 20_005);
    assert.equal(out.action, Action.drop);
    assert.equal(out.events[0]?.reason, DropReason.noMappingForNatMasquerade);
    assert.equal(leave("203.0.113.8", 20_005).action, Action.pass);
    assert.equal(pod.id, 1);
  });

  it("takes the port of what has been closed for longest when no other is left, never one in use", () => {
    using node = TestNode.create("closed", {
      routing: "tunnel",
      config: { natPortMin: 61_000, natPortMax: 61_003 },
    });
    node.pod({ id: 1, v4: "10.0.1.2", identity: 1001 });
    const leave = (sport: number, flags: number) =>
      node.toDevice(
        buildPacket({
          from: "10.0.1.2",
          to: "203.0.113.7",
          transport: { kind: "tcp", sport, dport: 80, flags },
        }),
      );
    const back = (dport: number) =>
      node.fromDevice(
        buildPacket({
          from: "203.0.113.7",
          to: at.v4.node,
          transport: { kind: "tcp", sport: 80, dport, flags: Tcp.ack },
        }),
      ).packet.dport;
    const ports = [1, 2, 3, 4].map((n) => leave(n, Tcp.syn).packet.sport);
    assert.equal(leave(5, Tcp.syn).action, Action.drop);
    leave(3, Tcp.rst);
    assert.equal(leave(5, Tcp.ack).action, Action.drop, "no connection begins so");
    assert.equal(leave(5, Tcp.syn).packet.sport, ports[2]);
    assert.equal(leave(6, Tcp.syn).action, Action.drop);
    assert.deepEqual(ports.map(back), [1, 2, 5, 4]);
  });

  it("leaves alone the ports of the node's own sockets", async () => {
    using node = TestNode.create("socket", {
      routing: "tunnel",
      config: { natPortMin: 61_000, natPortMax: 61_002 },
    });
    node.pod({ id: 1, v4: "10.0.1.2", identity: 1001 });
    const server = node.inside(() => createServer().listen(61_001));
    using stack = new DisposableStack();
    stack.defer(() => server.close());
    await once(server, "listening");
    const ports = [1, 2, 3].map((sport) => {
      const transport = { kind: "tcp", sport, dport: 80, flags: Tcp.syn } as const;
      const out = node.toDevice(buildPacket({ from: "10.0.1.2", to: "203.0.113.7", transport }));
      return out.action === Action.pass ? out.packet.sport : out.events[0]?.reason;
    });
    assert.deepEqual(ports.slice(0, 2).toSorted(), [61_000, 61_002]);
    assert.equal(ports[2], DropReason.noMappingForNatMasquerade);
  });
});
