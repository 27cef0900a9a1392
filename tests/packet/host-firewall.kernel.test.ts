// SPDX-License-Identifier: Apache-2.0
/** Policies of the node itself: what goes to and from its own addresses, and what is none of its firewall's business. */
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { ConfigFlag, DropReason, EndpointId, EventFlag, TracePoint } from "#datapath/layouts/enums.ts";
import { Action, at, type PodFields, TestNode } from "#kit/datapath.ts";
import { barePacket, buildPacket, Proto, Tcp, type Transport } from "#kit/packet.ts";
import type { PolicyEntry } from "#policy/rule.ts";

const families = {
  v4: {
    pod: "10.0.1.2",
    remote: "10.0.2.5",
    client: "198.51.100.9",
    multicast: "224.0.0.18",
    other: "192.168.7.1",
  },
  v6: {
    pod: "fd00:10:0:1::2",
    remote: "fd00:10:0:2::5",
    client: "2001:db8:9::9",
    multicast: "ff02::12",
    other: "fe80::7",
  },
} as const;

const POLICY = 80;
const denied = [DropReason.policyDenied, DropReason.policyDeny] as readonly number[];

const entry = (fields: Partial<PolicyEntry>): PolicyEntry => ({
  direction: "ingress",
  identity: 0,
  proto: 6,
  portBits: 16,
  port: 22,
  verdict: "allow",
  precedence: 101,
  rule: 800,
  ...fields,
});
const wide = { proto: 0, portBits: 0, port: 0 } as const;

for (const routing of ["tunnel", "native"] as const) {
  for (const name of ["v4", "v6"] as const) {
    const v6 = name === "v6";
    const net = { ...families[name], ...at[name] };

    describe(`a node with policies of its own, ${name}, ${routing}`, () => {
      let node: TestNode;
      let pod: PodFields;
      let port = 20_000;
      let revision = 1;

      before(() => {
        const flags =
          ConfigFlag.ipv4 |
          ConfigFlag.ipv6 |
          ConfigFlag.masqueradeV4 |
          ConfigFlag.masqueradeV6 |
          ConfigFlag.flows |
          ConfigFlag.hostFirewall;
        node = TestNode.create(`fw${name}${routing}`, { routing, config: { flags } });
        pod = node.pod({ id: 1, [name]: net.pod, identity: 1001 });
        node.identify(
          v6 ? `${net.remote}/128` : `${net.remote}/32`,
          2005,
          routing === "tunnel" ? at.v4.otherNode : undefined,
        );
        const backends = [{ id: 200, address: net.pod, port: 8080 }];
        node.service({
          id: 20,
          address: net.node,
          port: 30_080,
          proto: Proto.tcp,
          type: "NodePort",
          backends,
        });
        const own = [{ id: 230, address: net.node, port: 9000 }];
        node.service({
          id: 23,
          address: net.node,
          port: 30_083,
          proto: Proto.tcp,
          type: "NodePort",
          backends: own,
        });
      });
      after(() => node[Symbol.dispose]());
      beforeEach(() => {
        port++;
        judge([]);
      });

      /** The node's policy from now on; both directions are enforced. */
      const judge = (entries: readonly PolicyEntry[]) => {
        node.policy(POLICY, entries);
        node.host({ policy: POLICY, revision: ++revision, enforce: ["ingress", "egress"] });
      };
      const tcp = (
        from: string,
        to: string,
        [sport, dport]: readonly [number, number],
        flags: number = Tcp.syn,
      ) => buildPacket({ from, to, transport: { kind: "tcp", sport, dport, flags } });
      const reason = ({ action, events }: ReturnType<TestNode["fromDevice"]>) =>
        action === Action.drop ? events.at(-1)?.reason : 0;

      it("is not judged without a policy, and nothing of it is tracked", () => {
        node.host({});
        const into = node.fromDevice(tcp(net.client, net.node, [port, 22]));
        const out = node.toDevice(tcp(net.node, net.client, [port, 443]));
        assert.deepEqual([into.action, out.action, into.events.length + out.events.length], [0, 0, 0]);
        assert.equal(
          [...node.conntrack.entries()].filter(([key]) => key.lowPort === port || key.highPort === port)
            .length,
          0,
        );
      });

      it("is asked from outside for what its policy allows, and answers", () => {
        judge([entry({})]);
        const into = node.fromDevice(tcp(net.client, net.node, [port, 22]));
        assert.equal(into.action, Action.pass);
        const [event] = into.events;
        assert.deepEqual(
          [event?.point, event?.dstEndpoint, event?.ingressRule],
          [TracePoint.toHost, EndpointId.hostEndpoint, 800],
        );
        const answer = node.toDevice(tcp(net.node, net.client, [22, port], Tcp.syn | Tcp.ack));
        assert.equal(answer.action, Action.pass, "the egress of an answer is not judged");
        const other = node.fromDevice(tcp(net.client, net.node, [port, 23]));
        assert.equal(reason(other), DropReason.policyDenied);
        assert.ok(other.events[0]!.flags & EventFlag.ingress);
      });

      it("asks the outside for what its policy allows, and is answered", () => {
        judge([entry({ direction: "egress", port: 443 })]);
        assert.equal(node.toDevice(tcp(net.node, net.world, [port, 443])).action, Action.pass);
        const answer = node.fromDevice(tcp(net.world, net.node, [443, port], Tcp.syn | Tcp.ack));
        assert.equal(answer.action, Action.pass);
        const out = node.toDevice(tcp(net.node, net.world, [port, 80]));
        assert.equal(reason(out), DropReason.policyDenied);
        assert.equal(out.events[0]?.srcEndpoint, EndpointId.hostEndpoint);
      });

      it("stops what a rule denies, and names it", () => {
        judge([
          entry({ ...wide, precedence: 5, rule: 810 }),
          entry({ verdict: "deny", precedence: 801, rule: 811 }),
        ]);
        const out = node.fromDevice(tcp(net.client, net.node, [port, 22]));
        assert.deepEqual([reason(out), out.events[0]?.ingressRule], [DropReason.policyDeny, 811]);
        assert.equal(node.fromDevice(tcp(net.client, net.node, [port, 80])).action, Action.pass);
      });

      it("is judged by the identity of who asks: pods, nodes, the world", () => {
        const whom = (identity: number) => judge([entry({ identity })]);
        const asked: readonly (readonly [number, () => ReturnType<TestNode["fromDevice"]>])[] = [
          [1001, () => node.fromPod(pod, tcp(net.pod, net.node, [port, 22]))],
          [6, () => node.fromDevice(tcp(net.otherNode, net.node, [port, 22]))],
          [v6 ? 10 : 9, () => node.fromDevice(tcp(net.client, net.node, [port, 22]))],
          [2005, () => remoteAsks()],
        ];
        const remoteAsks = () => {
          const packet = tcp(net.remote, routing === "tunnel" ? net.router : net.node, [port, 22]);
          return routing === "tunnel" ? node.fromOverlay(packet, 2005) : node.fromDevice(packet);
        };
        for (const [identity, ask] of asked) {
          whom(identity);
          port++;
          assert.equal(ask().action, Action.pass, String(identity));
          whom(99);
          port++;
          assert.ok(denied.includes(reason(ask()) ?? 0), String(identity));
        }
      });

      it("judges a pod's connection to it at both ends, in one entry", () => {
        judge([entry({ identity: 1001 })]);
        assert.equal(node.fromPod(pod, tcp(net.pod, net.node, [port, 22])).action, Action.pass);
        assert.equal(
          node.toPod(pod, tcp(net.node, net.pod, [22, port], Tcp.syn | Tcp.ack)).action,
          Action.pass,
        );
        judge([]);
        assert.equal(
          reason(node.fromPod(pod, tcp(net.pod, net.node, [port, 22], Tcp.ack))),
          DropReason.policyDenied,
        );
        assert.equal(
          reason(node.toPod(pod, tcp(net.node, net.pod, [22, port], Tcp.ack))),
          DropReason.policyDenied,
        );
      });

      it("reaches its own pods whatever its policy says", () => {
        assert.equal(node.toPod(pod, tcp(net.node, net.pod, [port, 8080])).action, Action.pass);
        assert.equal(
          node.fromPod(pod, tcp(net.pod, net.node, [8080, port], Tcp.syn | Tcp.ack)).action,
          Action.pass,
        );
      });

      it("leaves NodePorts to the policy of the backend", () => {
        const inward = node.fromDevice(tcp(net.client, net.node, [port, 30_080]));
        assert.deepEqual([inward.action, inward.packet.destination], [Action.redirect, net.pod]);
        const answer = node.fromPod(pod, tcp(net.pod, net.client, [8080, port], Tcp.syn | Tcp.ack));
        assert.equal(answer.packet.source, net.node);
        assert.equal(node.throughDevice(answer.bytes).action, Action.pass, "it is no packet of the node's");
        assert.equal(
          reason(node.fromDevice(tcp(net.client, net.node, [port, 30_083]))),
          DropReason.policyDenied,
        );
        judge([entry({ port: 9000 })]);
        const own = node.fromDevice(tcp(net.client, net.node, [++port, 30_083]));
        assert.deepEqual([own.action, own.packet.dport], [Action.pass, 9000]);
        const turned = node.toDevice(tcp(net.node, net.client, [9000, port], Tcp.syn | Tcp.ack));
        assert.deepEqual([turned.action, turned.packet.sport], [Action.pass, 30_083]);
      });

      it("lets pods' traffic through as ever", () => {
        const sent = node.fromPod(
          pod,
          buildPacket({ from: net.pod, to: net.world, transport: { kind: "udp", sport: port, dport: 53 } }),
        );
        const left = node.throughDevice(sent.bytes);
        assert.deepEqual([left.action, left.packet.source], [Action.pass, net.node]);
        const answer = buildPacket({
          from: net.world,
          to: net.node,
          transport: { kind: "udp", sport: 53, dport: left.packet.sport },
        });
        assert.deepEqual([node.fromDevice(answer).action, node.events().length], [Action.redirect, 0]);
      });

      it("never stops the overlay, neighbour discovery, errors and multicast", () => {
        const vxlan: Transport = { kind: "udp", sport: port, dport: 8472 };
        const about = barePacket({
          from: net.node,
          to: net.world,
          transport: { kind: "udp", sport: port, dport: 9 },
        });
        const error: Transport = { kind: "error", type: v6 ? 2 : 3, code: v6 ? 0 : 4, word: 1400, about };
        const packets = [
          ...(routing === "tunnel"
            ? [buildPacket({ from: net.otherNode, to: net.node, transport: vxlan })]
            : []),
          buildPacket({ from: net.world, to: net.node, transport: error }),
          buildPacket({
            from: net.otherNode,
            to: net.multicast,
            transport: { kind: "udp", sport: port, dport: 9 },
          }),
          ...(v6
            ? [
                buildPacket({
                  from: "fe80::1",
                  to: net.node,
                  transport: { kind: "icmp", type: 135, code: 0 },
                }),
              ]
            : []),
        ];
        for (const [i, packet] of packets.entries())
          assert.equal(node.fromDevice(packet).action, Action.pass, String(i));
        const out = [
          ...(routing === "tunnel"
            ? [buildPacket({ from: net.node, to: net.otherNode, transport: vxlan })]
            : []),
          ...(v6
            ? [
                buildPacket({
                  from: net.node,
                  to: "ff02::1:ff00:1",
                  transport: { kind: "icmp", type: 135, code: 0 },
                }),
              ]
            : []),
        ];
        for (const [i, packet] of out.entries())
          assert.equal(node.toDevice(packet).action, Action.pass, String(i));
      });

      it("judges pings by their type", () => {
        judge([entry({ proto: v6 ? 58 : 1, port: v6 ? 128 : 8 })]);
        const ping = (from: string, to: string, reply = false) =>
          buildPacket({ from, to, transport: { kind: "echo", id: port, reply } });
        assert.equal(node.fromDevice(ping(net.client, net.node)).action, Action.pass);
        assert.equal(node.toDevice(ping(net.node, net.client, true)).action, Action.pass);
        judge([]);
        port++;
        assert.equal(reason(node.fromDevice(ping(net.client, net.node))), DropReason.policyDenied);
      });

      it("believes nobody outside to be itself or a pod of it", () => {
        judge([entry({})]);
        for (const from of [net.node, net.pod])
          assert.equal(reason(node.fromDevice(tcp(from, net.node, [port, 22]))), DropReason.invalidSourceIp);
      });

      it("does not judge what is only on its way through", () => {
        assert.deepEqual(node.fromDevice(tcp(net.client, net.world, [port, 80])).events, []);
        assert.equal(node.throughDevice(tcp(net.client, net.world, [port, 80])).action, Action.pass);
      });

      if (v6)
        it("judges what is sent to it by the link's addresses", () => {
          assert.equal(
            reason(node.fromDevice(tcp("fe80::9", "fe80::7", [port, 22]))),
            DropReason.policyDenied,
          );
          assert.equal(
            reason(node.fromPod(pod, tcp(net.pod, "fe80::7", [port, 22]))),
            DropReason.policyDenied,
          );
        });

      it("tells and lets through what is denied, in audit", () => {
        node.host({ policy: POLICY, revision: ++revision, enforce: ["ingress"], audit: true });
        const out = node.fromDevice(tcp(net.client, net.node, [port, 22]));
        assert.equal(out.action, Action.pass);
        assert.ok(out.events[0]!.flags & EventFlag.audit);
      });
    });
  }
}
