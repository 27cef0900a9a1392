// SPDX-License-Identifier: Apache-2.0
/** Direct server return by Geneve: what the client sent goes translated to the backend's node, which is told the frontend and answers. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ConfigFlag, DropReason, LbFlag, TraceReason } from "#datapath/layouts/enums.ts";
import { Action, at, type Outcome, type PodFields, TestNode, XdpAction } from "#kit/datapath.ts";
import {
  buildFragments,
  buildPacket,
  type PacketFields,
  Proto,
  readFragments,
  readPacket,
  Tcp,
} from "#kit/packet.ts";
import { type Address, addressBytes, parseAddress } from "#model/ip.ts";

const families = {
  v4: {
    backend: "10.0.2.5",
    bits: "/32",
    client: "198.51.100.9",
    vip: "203.0.113.80",
    told: 28,
    type: 0x0800,
  },
  v6: {
    backend: "fd00:10:0:2::5",
    bits: "/128",
    client: "2001:db8:9::9",
    vip: "2001:db8:80::80",
    told: 40,
    type: 0x86dd,
  },
} as const;
/** The header between nodes, by the underlay's family. */
const OUTER_IP = { v4: 20, v6: 40 } as const;

const NODE_PORT = 30_080;
const HOST_PORT = 30_082;
const VIP_PORT = 80;
const GENEVE = 6081;
const ETH = 14;

const kinds = [
  { routing: "native", underlay: "v4", name: "v4" },
  { routing: "native", underlay: "v6", name: "v6" },
  { routing: "native", underlay: undefined, name: "v4" },
  { routing: "tunnel", underlay: "v4", name: "v4" },
  { routing: "tunnel", underlay: "v4", name: "v6" },
  { routing: "tunnel", underlay: "v6", name: "v4" },
] as const;

for (const { routing, underlay, name } of kinds) {
  const net = { ...families[name], ...at[name] };
  const v6 = name === "v6";
  const outer = underlay ?? name;
  const ends = at[outer];
  const overhead = OUTER_IP[outer] + net.told;
  const known = underlay ? `${underlay} nodes` : "the backend's node unknown";

  describe(`direct server return by Geneve, ${name}, ${routing}, ${known}`, () => {
    let asked: TestNode;
    let answering: TestNode;
    let pod: PodFields;
    let port = 20_000;

    before(() => {
      const title = `${name}${routing.slice(0, 1)}${underlay ?? "n"}`;
      asked = TestNode.create(`gena${title}`, { routing, xdp: true, flags: ConfigFlag.dsrGeneve });
      answering = TestNode.create(`genb${title}`, {
        routing,
        xdp: true,
        config: {
          nodeV4: parseAddress(at.v4.otherNode),
          nodeV6: parseAddress(at.v6.otherNode),
          routerV4: parseAddress(at.v4.otherRouter),
          routerV6: parseAddress(at.v6.otherRouter),
        },
      });
      asked.identify(net.backend + net.bits, 2005, underlay && ends.otherNode);
      for (const { node, otherNode } of [at.v4, at.v6]) {
        const bits = node.includes(":") ? "/128" : "/32";
        answering.identify(node + bits, 6);
        answering.identify(otherNode + bits, 1);
      }
      pod = answering.pod({ id: 1, [name]: net.backend, identity: 2005 });
      for (const proto of [Proto.tcp, Proto.udp]) serve(proto);
    });
    after(() => {
      asked[Symbol.dispose]();
      answering[Symbol.dispose]();
    });

    /** The same services on both nodes, under numbers of their own. */
    const serve = (proto: number) => {
      for (const [node, own, id] of [
        [asked, net.node, 20 + proto * 100],
        [answering, net.otherNode, 70 + proto * 100],
      ] as const) {
        const service = (
          n: number,
          frontend: { address: string; port: number },
          backend: string,
          flags = 0,
        ) =>
          node.service({
            id: id + n,
            proto,
            type: "NodePort",
            ...frontend,
            flags: LbFlag.dsr | flags,
            backends: [{ id: (id + n) * 10, address: backend, port: 8080 }],
          });
        service(0, { address: own, port: NODE_PORT }, net.backend);
        service(1, { address: net.vip, port: VIP_PORT }, net.backend, LbFlag.external);
        service(2, { address: own, port: HOST_PORT }, net.otherNode);
      }
    };
    const tcp = (sport: number, flags: number, to: string = net.node, dport = NODE_PORT) =>
      buildPacket({ from: net.client, to, transport: { kind: "tcp", sport, dport, flags } });
    const udpFields = (sport: number, size = 3): PacketFields => ({
      from: net.client,
      to: net.node,
      transport: { kind: "udp", sport, dport: NODE_PORT },
      payload: Uint8Array.from({ length: size }, (_, i) => (i * 7) & 255),
    });
    const udp = (sport: number, size?: number) => buildPacket(udpFields(sport, size));
    /** The asked node passes it on. */
    const sendOn = (bytes: Uint8Array): Outcome => {
      const out = asked.fromDevice(bytes);
      assert.equal(out.action, Action.redirect, `reason ${out.events[0]?.reason}`);
      return out;
    };
    /** The frame inside. */
    const inner = (bytes: Uint8Array, added = overhead) =>
      Uint8Array.of(...bytes.subarray(0, 12), net.type >> 8, net.type & 255, ...bytes.subarray(ETH + added));
    const arrive = (bytes: Uint8Array): Outcome => {
      const sent = bytes.slice();
      sent.set([0x02, 0, 0, 0, 0, 0xbb]);
      return answering.fromDevice(sent);
    };
    const answer = (transport: PacketFields["transport"]) =>
      answering.fromPod(pod, buildPacket({ from: net.backend, to: net.client, transport }));
    const saying = (sport: number, flags: number) =>
      answer({ kind: "tcp", sport: 8080, dport: sport, flags });
    const shown = ({ packet }: Pick<Outcome, "packet">) => [
      packet.source,
      packet.sport,
      packet.destination,
      packet.dport,
    ];
    const dropped = (out: Outcome) => [out.action, out.events[0]?.reason];
    /** What the header between the nodes has to be for a frontend, from Geneve's first byte on. */
    const header = (address: string, frontendPort: number) => {
      const bytes = addressBytes(address as Address);
      const own = v6 ? bytes : bytes.subarray(-4);
      return [
        ...[v6 ? 6 : 3, 0x40, net.type >> 8, net.type & 255, 0, 0, 0, 0],
        ...[0xff, 0x57, 0x81, v6 ? 5 : 2, frontendPort >> 8, frontendPort & 255, 0, 0],
        ...own,
      ];
    };

    it("TCP: the backend sees the client, the client sees what it asked", () => {
      const sport = ++port;
      const bytes = tcp(sport, Tcp.syn);
      const syn = sendOn(bytes);
      assert.equal(syn.bytes.length - bytes.length, overhead);
      const to = underlay ? ends.otherNode : net.backend;
      assert.deepEqual(
        [syn.packet.source, syn.packet.destination, syn.packet.proto, syn.packet.dport, syn.packet.ttl],
        [ends.node, to, Proto.udp, GENEVE, 64],
      );
      assert.ok(syn.packet.sport >= 0xc000);
      const head = ETH + OUTER_IP[outer];
      const view = new DataView(syn.bytes.buffer, syn.bytes.byteOffset);
      assert.equal(view.getUint16(head + 4), syn.bytes.length - head, "UDP's length");
      assert.equal(view.getUint16(head + 6), 0, "no checksum");
      assert.deepEqual([...syn.bytes.subarray(head + 8, ETH + overhead)], header(net.node, NODE_PORT));
      const within = readPacket(inner(syn.bytes));
      assert.deepEqual(shown({ packet: within }), [net.client, sport, net.backend, 8080]);
      assert.equal(within.ttl, 63);
      const [event] = syn.events;
      assert.deepEqual(
        [event?.reason, event?.saddr, event?.daddr, event?.dport],
        [TraceReason.new, net.client, net.backend, 8080],
      );
      const come = arrive(syn.bytes);
      assert.equal(come.action, Action.redirect, `reason ${come.events[0]?.reason}`);
      assert.deepEqual(shown(come), [net.client, sport, net.backend, 8080]);
      assert.equal(come.bytes.length, bytes.length);
      assert.deepEqual([...come.bytes.subarray(12, 14)], [net.type >> 8, net.type & 255]);
      assert.deepEqual(shown(saying(sport, Tcp.syn | Tcp.ack)), [net.node, NODE_PORT, net.client, sport]);
      for (const flags of [Tcp.ack, Tcp.ack, Tcp.fin | Tcp.ack]) {
        const more = sendOn(tcp(sport, flags));
        assert.equal(more.packet.dport, GENEVE, "every packet goes so");
        assert.equal(more.packet.sport, syn.packet.sport, "one flow, one way");
        assert.deepEqual(shown(arrive(more.bytes)), [net.client, sport, net.backend, 8080]);
        assert.deepEqual(shown(saying(sport, Tcp.ack)), [net.node, NODE_PORT, net.client, sport]);
      }
    });

    it("UDP, and a load balancer's address, which every node has", () => {
      const sport = ++port;
      assert.deepEqual(shown(arrive(sendOn(udp(sport)).bytes)), [net.client, sport, net.backend, 8080]);
      const back = answer({ kind: "udp", sport: 8080, dport: sport });
      assert.deepEqual(shown(back), [net.node, NODE_PORT, net.client, sport]);
      const other = ++port;
      const out = arrive(sendOn(tcp(other, Tcp.syn, net.vip, VIP_PORT)).bytes);
      assert.deepEqual(shown(out), [net.client, other, net.backend, 8080]);
      assert.deepEqual(shown(saying(other, Tcp.syn | Tcp.ack)), [net.vip, VIP_PORT, net.client, other]);
    });

    it("a process of the backend's node", () => {
      const sport = ++port;
      const sent = sendOn(tcp(sport, Tcp.syn, net.node, HOST_PORT));
      assert.equal(sent.packet.destination, net.otherNode);
      const out = arrive(sent.bytes);
      assert.equal(out.action, Action.pass, `reason ${out.events[0]?.reason}`);
      assert.deepEqual(shown(out), [net.client, sport, net.otherNode, 8080]);
      const flags = Tcp.syn | Tcp.ack;
      const transport = { kind: "tcp", sport: 8080, dport: sport, flags } as const;
      const back = answering.toDevice(buildPacket({ from: net.otherNode, to: net.client, transport }));
      assert.deepEqual(shown(back), [net.node, HOST_PORT, net.client, sport]);
    });

    it("XDP sends the same as traffic control, and leaves what arrives to it", () => {
      const sport = ++port;
      for (const [bytes, told] of [
        [tcp(sport, Tcp.syn), 1],
        [tcp(sport, Tcp.ack), 0],
        [tcp(sport, Tcp.ack), 0],
        [udp(++port), 1],
        [udp(++port, 1301), 1],
      ] as const) {
        const early = asked.fromWire(bytes);
        const late = sendOn(bytes);
        assert.equal(early.action, XdpAction.tx);
        assert.deepEqual(early.bytes.subarray(12), late.bytes.subarray(12), "all but the link's addresses");
        assert.equal(early.events.length, told);
        assert.equal(readPacket(early.bytes).dport, GENEVE);
        const up = answering.fromWire(early.bytes);
        assert.equal(up.action, XdpAction.pass);
        assert.deepEqual(up.bytes, early.bytes);
        assert.deepEqual(shown(arrive(early.bytes)).slice(2), [net.backend, 8080]);
      }
    });

    it("what has no room with the headers around it: the client is told the room there is, in its own terms", () => {
      const ip = v6 ? 40 : 20;
      const longest = 1500 - overhead - ip - 8;
      const sport = ++port;
      const bytes = udp(sport, longest + 1);
      assert.equal(asked.fromWire(bytes).action, XdpAction.pass);
      const out = asked.fromDevice(bytes);
      assert.equal(out.action, Action.redirect);
      assert.deepEqual([out.packet.type, out.packet.code], v6 ? [2, 0] : [3, 4]);
      assert.deepEqual([out.packet.source, out.packet.destination], [net.node, net.client]);
      assert.deepEqual([out.packet.about?.destination, out.packet.about?.dport], [net.node, NODE_PORT]);
      const word = new DataView(out.bytes.buffer, out.bytes.byteOffset + ETH + ip + 4).getUint32(0);
      assert.equal(word, 1500 - overhead);
      assert.equal(sendOn(udp(sport, longest)).bytes.length, ETH + 1500);
      assert.equal(asked.fromWire(udp(sport, longest)).bytes.length, ETH + 1500);
    });

    it("fragments go each in a packet of its own, and all arrive", () => {
      const sport = ++port;
      const sent = buildFragments({ ...udpFields(sport, 900), id: sport }, 400).map((part) => sendOn(part));
      assert.equal(sent.length, 3);
      const come = sent.map(({ bytes }) => arrive(bytes));
      for (const out of come) assert.equal(out.action, Action.redirect, `reason ${out.events[0]?.reason}`);
      const whole = readFragments(come.map(({ bytes }) => bytes));
      assert.deepEqual([whole.source, whole.destination, whole.dport], [net.client, net.backend, 8080]);
      const back = answer({ kind: "udp", sport: 8080, dport: sport });
      assert.deepEqual(shown(back), [net.node, NODE_PORT, net.client, sport]);
    });

    it("a connection goes on while nodes change from one way of telling to the other", () => {
      const sport = ++port;
      const asIs = (flags: number) => {
        const transport = { kind: "tcp", sport, dport: 8080, flags } as const;
        const bytes = buildPacket({ from: net.client, to: net.backend, transport });
        return routing === "tunnel" ? answering.fromOverlay(bytes, 9) : arrive(bytes);
      };
      arrive(sendOn(tcp(sport, Tcp.syn)).bytes);
      saying(sport, Tcp.syn | Tcp.ack);
      assert.equal(asIs(Tcp.ack).action, Action.redirect, "as by option, told once");
      assert.deepEqual(shown(saying(sport, Tcp.ack)), [net.node, NODE_PORT, net.client, sport]);
      arrive(sendOn(tcp(sport, Tcp.ack)).bytes);
      assert.deepEqual(shown(saying(sport, Tcp.ack)), [net.node, NODE_PORT, net.client, sport]);
    });

    it("only nodes are believed, only of frontends, and only of backends here", () => {
      const { bytes } = sendOn(tcp(++port, Tcp.syn));
      const stranger = buildPacket({
        from: outer === "v6" ? "fd00:1::99" : "192.168.1.99",
        to: ends.otherNode,
        transport: { kind: "udp", sport: 50_000, dport: GENEVE, checksum: false },
        payload: bytes.slice(ETH + OUTER_IP[outer] + 8),
      });
      const left = arrive(stranger);
      assert.equal(left.action, Action.pass);
      assert.deepEqual(left.bytes.subarray(ETH), stranger.subarray(ETH), "not taken out");
      const frontendPort = ETH + OUTER_IP[outer] + 20;
      const elsewhere = sendOn(tcp(++port, Tcp.syn)).bytes.slice();
      elsewhere.set([0x75, 0x00], frontendPort);
      assert.deepEqual(dropped(arrive(elsewhere)), [Action.drop, DropReason.snatNoMapFound]);
      const nobody = sendOn(tcp(++port, Tcp.syn)).bytes.slice();
      nobody[ETH + overhead + (v6 ? 39 : 19)]! ^= 0x40;
      assert.deepEqual(dropped(arrive(nobody)), [Action.drop, DropReason.serviceBackendNotFound]);
      assert.equal(arrive(bytes.slice(0, ETH + overhead + 10)).action, Action.drop);
      const noPorts = sendOn(tcp(++port, Tcp.syn)).bytes.slice();
      noPorts[ETH + overhead + (v6 ? 6 : 9)] = 132;
      assert.deepEqual(dropped(arrive(noPorts)), [Action.drop, DropReason.unsupportedProtocolForDsrEncap]);
    });

    it("what else nodes send each other in Geneve is left to whose it is", () => {
      const { bytes } = sendOn(tcp(++port, Tcp.syn));
      const head = ETH + OUTER_IP[outer];
      const others: readonly (readonly [string, number, readonly number[]])[] = [
        ["another class", 16, [0x01, 0x4b]],
        ["another type", 18, [0x82]],
        ["Ethernet inside", 10, [0x65, 0x58]],
        ["another length", 19, [v6 ? 4 : 1]],
        ["more options", 8, [v6 ? 7 : 4]],
        ["of control", 9, [0xc0]],
      ];
      for (const [what, off, is] of others) {
        const other = bytes.slice();
        other.set(is, head + off);
        const out = answering.fromDevice(Uint8Array.of(0x02, 0, 0, 0, 0, 0xbb, ...other.subarray(6)));
        assert.deepEqual(out.bytes.subarray(head), other.subarray(head), what);
        assert.notEqual(out.action, Action.drop, what);
      }
    });
  });
}
