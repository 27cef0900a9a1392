// SPDX-License-Identifier: Apache-2.0
/** The balancer at XDP: what it answers itself, what it leaves to traffic control, and that both are one balancer. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { DropReason, LbFlag, TracePoint, TraceReason } from "#datapath/layouts/enums.ts";
import { Action, at, type Outcome, type PodFields, TestNode, XdpAction } from "#kit/datapath.ts";
import {
  barePacket,
  buildFragments,
  buildPacket,
  type PacketFields,
  Proto,
  readFragments,
  readPacket,
  Tcp,
} from "#kit/packet.ts";

const families = {
  v4: { pod: "10.0.1.2", remote: "10.0.2.5", unknown: "192.168.1.77", bits: "/32", client: "198.51.100.9" },
  v6: {
    pod: "fd00:10:0:1::2",
    remote: "fd00:10:0:2::5",
    unknown: "fd00:1::77",
    bits: "/128",
    client: "2001:db8:9::9",
  },
} as const;

const REMOTE = 30_080;
const LOCAL = 30_081;
const BOTH = 30_082;
const EMPTY = 30_083;
const BEYOND = 30_084;
const RANGED = 30_085;

const GATEWAY_MAC = "02:00:00:00:00:01";
const OTHER_NODE_MAC = "02:00:00:00:00:02";
/** What VXLAN puts in front, by the family of the underlay. */
const WRAPPING = { v4: 50, v6: 70 } as const;
const VXLAN_PORT = 8472;

/** A frame as another node's tunnel sends it. */
function wrap(bytes: Uint8Array, fields: { underlay: "v4" | "v6"; vni: number; flags?: number }): Uint8Array {
  const head = new Uint8Array(8);
  const view = new DataView(head.buffer);
  view.setUint32(0, fields.flags ?? 0x08000000);
  view.setUint32(4, fields.vni << 8);
  const { otherNode, node } = at[fields.underlay];
  const transport = { kind: "udp", sport: 50_000, dport: VXLAN_PORT, checksum: false } as const;
  return buildPacket({ from: otherNode, to: node, transport, payload: Uint8Array.of(...head, ...bytes) });
}

for (const routing of ["native", "tunnel over v4", "tunnel over v6"] as const) {
  for (const name of ["v4", "v6"] as const) {
    const net = { ...families[name], ...at[name] };
    const v6 = name === "v6";
    const tunnel = routing !== "native";
    const underlay = routing === "tunnel over v6" ? "v6" : "v4";
    const wrapping = WRAPPING[underlay];

    describe(`XDP, ${name}, ${routing}`, () => {
      let node: TestNode;
      let pod: PodFields;
      let port = 20_000;

      before(() => {
        node = TestNode.create(`xdp${name}${tunnel ? underlay : ""}`, {
          routing: tunnel ? "tunnel" : "native",
          xdp: true,
        });
        pod = node.pod({ id: 1, [name]: net.pod, identity: 1001 });
        node.identify(net.remote + net.bits, 2005, tunnel ? at[underlay].otherNode : undefined);
        const near = { address: net.pod, port: 8080 };
        const far = { address: net.remote, port: 8080 };
        for (const [i, proto] of [Proto.tcp, Proto.udp].entries()) {
          const service = (
            id: number,
            nodePort: number,
            addresses: readonly { address: string; port: number }[],
          ) =>
            node.service({
              id: id + i,
              address: net.node,
              port: nodePort,
              proto,
              type: "NodePort",
              flags: nodePort === RANGED ? LbFlag.sourceRanges : 0,
              backends: addresses.map((backend, n) => ({ id: 10 * (id + i) + n, ...backend })),
            });
          service(20, REMOTE, [far]);
          service(22, LOCAL, [near]);
          service(24, BOTH, [near, far]);
          service(26, EMPTY, []);
          service(28, BEYOND, [{ address: net.unknown, port: 8080 }]);
          service(30, RANGED, [far]);
        }
      });
      after(() => node[Symbol.dispose]());

      const tcp = (from: string, to: string, [sport, dport]: readonly [number, number], flags: number) =>
        buildPacket({ from, to, transport: { kind: "tcp", sport, dport, flags } });
      const udpFields = (sport: number, dport: number, size = 3): PacketFields => ({
        from: net.client,
        to: net.node,
        transport: { kind: "udp", sport, dport },
        payload: Uint8Array.from({ length: size }, (_, i) => (i * 7) & 255),
      });
      const udp = (sport: number, dport: number, size?: number) => buildPacket(udpFields(sport, dport, size));
      /** The frame the backend's node gets to see. */
      const inner = (out: Outcome) => (tunnel ? out.bytes.subarray(wrapping) : out.bytes);
      const untouched = (bytes: Uint8Array, why: string) => {
        const out = node.fromWire(bytes);
        assert.equal(out.action, XdpAction.pass, why);
        assert.deepEqual(out.bytes, bytes, why);
        assert.deepEqual(out.events, [], why);
      };

      it("sends a connection on to another node's backend, out of the same device", () => {
        const sport = ++port;
        const out = node.fromWire(tcp(net.client, net.node, [sport, REMOTE], Tcp.syn));
        assert.equal(out.action, XdpAction.tx);
        const sent = readPacket(inner(out));
        assert.deepEqual(
          [sent.source, sent.destination, sent.dport, sent.ttl],
          [tunnel ? net.router : net.node, net.remote, 8080, 63],
        );
        assert.ok(sent.sport >= 61_000);
        assert.equal(out.packet.destinationMac, OTHER_NODE_MAC);
        const [event] = out.events;
        assert.deepEqual(
          [event?.reason, event?.point, event?.frontend, event?.srcIdentity, event?.dstIdentity, event?.file],
          [TraceReason.new, tunnel ? TracePoint.toOverlay : TracePoint.toNetwork, 20, v6 ? 10 : 9, 2005, 5],
        );
        const more = node.fromWire(tcp(net.client, net.node, [sport, REMOTE], Tcp.ack));
        assert.equal(readPacket(inner(more)).sport, sent.sport, "one port a connection");
        assert.deepEqual(more.events, []);
      });

      it("wraps it as the tunnel's device does, with the client's identity", () => {
        if (!tunnel) return;
        const bytes = udp(++port, REMOTE, 201);
        const out = node.fromWire(bytes);
        assert.equal(out.bytes.length, bytes.length + wrapping);
        assert.deepEqual(
          [out.packet.source, out.packet.destination, out.packet.dport, out.packet.ttl],
          [at[underlay].node, at[underlay].otherNode, VXLAN_PORT, 64],
        );
        const head = new DataView(out.bytes.buffer, out.bytes.byteOffset);
        const ip = underlay === "v4" ? head.getUint16(16) : head.getUint16(18) + 40;
        assert.equal(ip, out.bytes.length - 14, "length of the outer packet");
        const vxlan = new DataView(out.bytes.buffer, out.bytes.byteOffset + wrapping - 16);
        assert.equal(vxlan.getUint16(4), bytes.length + 16, "length of the outer datagram");
        assert.equal(vxlan.getUint32(8), 0x08000000);
        assert.equal(vxlan.getUint32(12) >>> 8, v6 ? 10 : 9);
      });

      /** What the backend says to what reached it, as it comes to the node. */
      const answerTo = (sent: { source: string; sport: number }, payload = Uint8Array.of(1, 2, 3, 4, 5)) => {
        const transport = { kind: "udp", sport: 8080, dport: sent.sport } as const;
        const bytes = buildPacket({ from: net.remote, to: sent.source, transport, payload });
        return tunnel ? wrap(bytes, { underlay, vni: 2005 }) : bytes;
      };

      it("sends the backend's answers back to the client, unwrapped", () => {
        const sport = ++port;
        const sent = readPacket(inner(node.fromWire(udp(sport, REMOTE))));
        const out = node.fromWire(answerTo(sent));
        assert.equal(out.action, XdpAction.tx);
        assert.deepEqual(
          [out.packet.source, out.packet.sport, out.packet.destination, out.packet.dport, out.packet.ttl],
          [net.node, REMOTE, net.client, sport, 63],
        );
        assert.equal(out.packet.destinationMac, GATEWAY_MAC);
      });

      it("leaves what else comes through the tunnel to the tunnel's device", () => {
        if (!tunnel) return;
        const sport = ++port;
        const sent = readPacket(inner(node.fromWire(udp(sport, REMOTE))));
        const inside = (to: string, dport: number) =>
          buildPacket({ from: net.remote, to, transport: { kind: "udp", sport: 8080, dport } });
        const known = inside(net.router, sent.sport);
        untouched(wrap(inside(net.pod, 80), { underlay, vni: 2005 }), "to a pod");
        untouched(wrap(inside(net.router, 61_999), { underlay, vni: 2005 }), "an answer to nothing");
        untouched(wrap(inside(net.router, REMOTE), { underlay, vni: 2005 }), "no frontend from inside");
        untouched(wrap(known, { underlay, vni: 0 }), "from nobody");
        untouched(wrap(known, { underlay, vni: 2005, flags: 0 }), "without an identity");
        untouched(wrap(known.subarray(0, 36), { underlay, vni: 2005 }), "cut off");
        assert.equal(node.fromOverlay(known, 2005).action, Action.redirect, "which carries answers, too");
        assert.equal(node.fromWire(wrap(known, { underlay, vni: 2005 })).action, XdpAction.tx);
      });

      it("is one balancer with traffic control: a flow may change between them", () => {
        const sport = ++port;
        const first = readPacket(inner(node.fromWire(udp(sport, REMOTE))));
        const second = node.fromDevice(udp(sport, REMOTE));
        assert.equal(second.action, Action.redirect);
        assert.equal(second.packet.sport, first.sport);
        const other = ++port;
        const there = node.fromDevice(udp(other, REMOTE));
        assert.equal(readPacket(inner(node.fromWire(udp(other, REMOTE)))).sport, there.packet.sport);
      });

      it("leaves a pod of this node to traffic control, which brings it there", () => {
        const bytes = tcp(net.client, net.node, [++port, LOCAL], Tcp.syn);
        untouched(bytes, "local backend");
        const out = node.fromDevice(bytes);
        assert.deepEqual([out.action, out.packet.destination], [Action.redirect, net.pod]);
        assert.equal(out.events[0]?.reason, TraceReason.new);
        assert.equal(pod.id, 1);
      });

      it("chooses once: what it leaves goes to the backend it was left for", () => {
        const rounds = 64;
        let left = 0;
        for (let i = 0; i < rounds; i++) {
          const bytes = udp(++port, BOTH);
          const out = node.fromWire(bytes);
          if (out.action === XdpAction.tx) continue;
          assert.deepEqual(out.bytes, bytes);
          assert.equal(node.fromDevice(bytes).packet.destination, net.pod);
          left++;
        }
        assert.ok(left > 0 && left < rounds, `${left} of ${rounds} for the local backend`);
      });

      it("leaves what goes to a neighbour nobody knows yet, and traffic control still sees it begin", () => {
        node.identify(net.unknown + net.bits, 6);
        const bytes = udp(++port, BEYOND);
        untouched(bytes, "no neighbour");
        untouched(bytes, "no neighbour, again");
        const out = node.fromDevice(bytes);
        assert.deepEqual([out.action, out.packet.destination], [Action.redirect, net.unknown]);
        assert.equal(out.events[0]?.reason, TraceReason.new);
        if (!tunnel) untouched(udp(++port, REMOTE, 1480), "longer than the way carries");
      });

      it("keeps every checksum right, whatever the length", () => {
        for (const size of [0, 1, 2, 63, 64, 511, 1200]) {
          const out = node.fromWire(udp(++port, REMOTE, size));
          assert.equal(out.action, XdpAction.tx, `${size} bytes`);
          readPacket(inner(out));
        }
        if (v6) return;
        const bare = { kind: "udp", sport: ++port, dport: REMOTE, checksum: false } as const;
        const out = node.fromWire(
          buildPacket({ from: net.client, to: net.node, transport: bare, payload: Uint8Array.of(1) }),
        );
        const sent = inner(out);
        assert.deepEqual([...sent.subarray(40, 42)], [0, 0], "no checksum stays none");
      });

      it("carries fragments, and leaves those whose first it has not seen", () => {
        const fields = { ...udpFields(++port, REMOTE, 900), id: port };
        const parts = buildFragments(fields, 400);
        untouched(parts[1]!, "before the first");
        const sent = parts.map((bytes) => {
          const out = node.fromWire(bytes);
          assert.equal(out.action, XdpAction.tx);
          return inner(out);
        });
        const whole = readFragments(sent);
        assert.deepEqual([whole.destination, whole.dport], [net.remote, 8080]);
      });

      it("goes past IPv6 extension headers", () => {
        if (!v6) return;
        const out = node.fromWire(buildPacket({ ...udpFields(++port, REMOTE), extensions: 2 }));
        assert.equal(out.action, XdpAction.tx);
        assert.equal(readPacket(inner(out)).destination, net.remote);
      });

      it("leaves errors, pings and everything that is for no frontend as it came", () => {
        const sport = ++port;
        const sent = readPacket(inner(node.fromWire(udp(sport, REMOTE))));
        const about = barePacket({
          from: sent.source,
          to: net.remote,
          transport: { kind: "udp", sport: sent.sport, dport: 8080 },
        });
        const error = { kind: "error", type: v6 ? 2 : 3, code: v6 ? 0 : 4, word: 1400, about } as const;
        const failed = buildPacket({ from: net.remote, to: sent.source, transport: error });
        untouched(failed, "an error about what it sent");
        const told = tunnel ? node.fromOverlay(failed, 2005) : node.fromDevice(failed);
        assert.deepEqual(
          [told.packet.destination, told.packet.about?.source, told.packet.about?.dport],
          [net.client, net.client, REMOTE],
          "which traffic control carries on",
        );
        const ping = { kind: "echo", id: 7 } as const;
        untouched(buildPacket({ from: net.client, to: net.node, transport: ping }), "ping");
        untouched(tcp(net.client, net.node, [++port, 22], Tcp.syn), "a port of the node's own");
        untouched(tcp(net.client, net.pod, [++port, 80], Tcp.syn), "a pod");
        untouched(tcp(net.remote, net.node, [8080, 61_999], Tcp.ack), "an answer to nothing");
        const flooded = udp(++port, REMOTE);
        flooded.set([0x02, 0, 0, 0, 0, 0xbc]);
        untouched(flooded, "addressed to another device");
        const arp = new Uint8Array(42).fill(1);
        untouched(Uint8Array.of(...arp.subarray(0, 12), 0x08, 0x06, ...arp.subarray(14)), "ARP");
        const tagged = udp(++port, REMOTE);
        const vlan = [...tagged.subarray(0, 12), 0x81, 0x00, 0, 5, ...tagged.subarray(12)];
        untouched(Uint8Array.from(vlan), "a tagged frame");
        untouched(udp(++port, REMOTE).subarray(0, v6 ? 50 : 30), "cut off");
      });

      it("leaves to traffic control what that refuses, and says why", () => {
        const refused = (bytes: Uint8Array, reason: number) => {
          untouched(bytes, `reason ${reason}`);
          assert.equal(node.fromDevice(bytes).events[0]?.reason, reason);
        };
        refused(buildPacket({ ...udpFields(++port, REMOTE), ttl: 1 }), DropReason.ttlExceeded);
        refused(udp(++port, EMPTY), DropReason.serviceBackendNotFound);
        refused(udp(++port, RANGED), DropReason.deniedByLbSrcRangeCheck);
        refused(buildPacket({ ...udpFields(++port, REMOTE), from: net.pod }), DropReason.invalidSourceIp);
        if (tunnel) refused(udp(++port, REMOTE, 1430), DropReason.ipFragmentationNotSupported);
      });

      it("leaves pods' own connections to the outside alone", () => {
        const leave = tcp(net.pod, net.world, [++port, 443], Tcp.syn);
        const left = node.toDevice(node.fromPod(pod, leave).bytes).packet.sport;
        untouched(tcp(net.world, net.node, [443, left], Tcp.syn | Tcp.ack), "an answer to a pod");
      });
    });
  }
}

describe("XDP with few ports", () => {
  it("runs out of them for one backend, and says so", () => {
    using node = TestNode.create("xdpfew", {
      routing: "native",
      xdp: true,
      config: { natPortMin: 61_000, natPortMax: 61_003 },
    });
    node.identify("10.0.2.5/32", 2005);
    node.service({
      id: 20,
      address: at.v4.node,
      port: REMOTE,
      proto: Proto.udp,
      type: "NodePort",
      backends: [{ id: 200, address: "10.0.2.5", port: 53 }],
    });
    const send = (sport: number) =>
      node.fromWire(
        buildPacket({
          from: "198.51.100.9",
          to: at.v4.node,
          transport: { kind: "udp", sport, dport: REMOTE },
        }),
      );
    const ports = [1, 2, 3, 4].map((n) => send(20_000 + n).packet.sport);
    assert.deepEqual(ports.toSorted(), [61_000, 61_001, 61_002, 61_003]);
    const out = send(20_005);
    assert.equal(out.action, XdpAction.drop);
    assert.equal(out.events[0]?.reason, DropReason.noMappingForNatMasquerade);
  });
});
