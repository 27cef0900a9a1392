// SPDX-License-Identifier: Apache-2.0
/** Direct server return by IP in IP: what the client sent goes whole to the backend's node, which takes it out and answers the client. */
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
import { parseAddress } from "#model/ip.ts";

const families = {
  v4: { backend: "10.0.2.5", bits: "/32", client: "198.51.100.9", vip: "203.0.113.80", ip: 20, proto: 4 },
  v6: {
    backend: "fd00:10:0:2::5",
    bits: "/128",
    client: "2001:db8:9::9",
    vip: "2001:db8:80::80",
    ip: 40,
    proto: 41,
  },
} as const;

const NODE_PORT = 30_080;
const HOST_PORT = 30_082;
const VIP_PORT = 80;
const ETH = 14;

for (const name of ["v4", "v6"] as const) {
  const net = { ...families[name], ...at[name] };
  const v6 = name === "v6";

  describe(`direct server return by IP in IP, ${name}`, () => {
    let asked: TestNode;
    let answering: TestNode;
    let pod: PodFields;
    let port = 20_000;

    before(() => {
      asked = TestNode.create(`ipipa${name}`, { routing: "native", xdp: true, flags: ConfigFlag.dsrIpip });
      answering = TestNode.create(`ipipb${name}`, {
        routing: "native",
        xdp: true,
        config: { nodeV4: parseAddress(at.v4.otherNode), nodeV6: parseAddress(at.v6.otherNode) },
      });
      asked.identify(net.backend + net.bits, 2005);
      answering.identify(net.node + net.bits, 6);
      answering.identify(net.otherNode + net.bits, 1);
      pod = answering.pod({ id: 1, [name]: net.backend, identity: 2005 });
      for (const proto of [Proto.tcp, Proto.udp]) serve(proto, LbFlag.dsr);
    });
    after(() => {
      asked[Symbol.dispose]();
      answering[Symbol.dispose]();
    });

    /** The same services on both nodes, under numbers of their own. */
    const serve = (proto: number, dsr: number) => {
      const elsewhere = { address: v6 ? "fd00:10:0:3::9" : "10.0.3.9", port: 8080 };
      for (const [node, own, id] of [
        [asked, net.node, 20 + proto * 100],
        [answering, net.otherNode, 70 + proto * 100],
      ] as const) {
        const service = (
          n: number,
          fields: { address: string; port: number; flags?: number },
          address: string,
        ) => {
          const pods = [{ address, port: 8080 }];
          // The other node knows of a backend before this one: places in a service differ between nodes.
          const backends = node === answering && address === net.backend ? [elsewhere, ...pods] : pods;
          node.service({
            id: id + n,
            proto,
            type: "NodePort",
            flags: dsr,
            ...fields,
            backends: backends.map((backend, i) => ({ id: (id + n) * 10 + i, ...backend })),
          });
        };
        service(0, { address: own, port: NODE_PORT }, net.backend);
        service(1, { address: net.vip, port: VIP_PORT, flags: dsr | LbFlag.external }, net.backend);
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
    /** The asked node passes it on: around it, all that was added. */
    const sendOn = (bytes: Uint8Array): Outcome => {
      const out = asked.fromDevice(bytes);
      assert.equal(out.action, Action.redirect, `reason ${out.events[0]?.reason}`);
      return out;
    };
    const inner = (bytes: Uint8Array) =>
      Uint8Array.of(...bytes.subarray(0, ETH), ...bytes.subarray(ETH + net.ip));
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

    it("TCP: the packet goes whole, the backend sees the client, the client sees what it asked", () => {
      const sport = ++port;
      const bytes = tcp(sport, Tcp.syn);
      const syn = sendOn(bytes);
      assert.equal(syn.bytes.length - bytes.length, net.ip);
      assert.deepEqual(
        [syn.packet.source, syn.packet.destination, syn.packet.proto, syn.packet.ttl],
        [net.node, net.backend, net.proto, 63],
      );
      const within = readPacket(inner(syn.bytes));
      assert.deepEqual(shown({ packet: within }), [net.client, sport, net.node, NODE_PORT]);
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
      assert.deepEqual(shown(saying(sport, Tcp.syn | Tcp.ack)), [net.node, NODE_PORT, net.client, sport]);
      for (const flags of [Tcp.ack, Tcp.ack, Tcp.fin | Tcp.ack]) {
        const more = sendOn(tcp(sport, flags));
        assert.equal(more.packet.proto, net.proto, "every packet goes so");
        assert.deepEqual(shown(arrive(more.bytes)), [net.client, sport, net.backend, 8080]);
        assert.deepEqual(shown(saying(sport, Tcp.ack)), [net.node, NODE_PORT, net.client, sport]);
      }
    });

    it("a load balancer's address, which every node has", () => {
      const sport = ++port;
      const out = arrive(sendOn(tcp(sport, Tcp.syn, net.vip, VIP_PORT)).bytes);
      assert.deepEqual(shown(out), [net.client, sport, net.backend, 8080]);
      assert.deepEqual(shown(saying(sport, Tcp.syn | Tcp.ack)), [net.vip, VIP_PORT, net.client, sport]);
    });

    it("a process of the backend's node", () => {
      const sport = ++port;
      const out = arrive(sendOn(tcp(sport, Tcp.syn, net.node, HOST_PORT)).bytes);
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
        [udp(++port), 1],
        [udp(++port, 1301), 1],
      ] as const) {
        const early = asked.fromWire(bytes);
        const late = sendOn(bytes);
        assert.equal(early.action, XdpAction.tx);
        // XDP sends by itself what routing counts a hop for.
        assert.equal(readPacket(early.bytes).ttl, 64);
        assert.deepEqual(inner(early.bytes).subarray(ETH), inner(late.bytes).subarray(ETH));
        assert.equal(early.events.length, told);
        assert.equal(answering.fromWire(early.bytes).action, XdpAction.pass);
        assert.deepEqual(shown(arrive(early.bytes)).slice(2), [net.backend, 8080]);
      }
    });

    it("what has no room with the header around it: the client is told the room there is, in its own terms", () => {
      const longest = 1500 - net.ip - net.ip - 8;
      const sport = ++port;
      const bytes = udp(sport, longest + 1);
      assert.equal(asked.fromWire(bytes).action, XdpAction.pass);
      const out = asked.fromDevice(bytes);
      assert.equal(out.action, Action.redirect);
      assert.deepEqual([out.packet.type, out.packet.code], v6 ? [2, 0] : [3, 4]);
      assert.deepEqual([out.packet.source, out.packet.destination], [net.node, net.client]);
      assert.deepEqual([out.packet.about?.destination, out.packet.about?.dport], [net.node, NODE_PORT]);
      const word = new DataView(out.bytes.buffer, out.bytes.byteOffset + ETH + net.ip + 4).getUint32(0);
      assert.equal(word, 1500 - net.ip);
      assert.equal(sendOn(udp(sport, longest)).bytes.length, ETH + 1500);
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
      const asIs = (sent: string, dport: number, flags: number) =>
        arrive(buildPacket({ from: net.client, to: sent, transport: { kind: "tcp", sport, dport, flags } }));
      arrive(sendOn(tcp(sport, Tcp.syn)).bytes);
      saying(sport, Tcp.syn | Tcp.ack);
      assert.equal(asIs(net.backend, 8080, Tcp.ack).action, Action.redirect, "as by option, told once");
      assert.deepEqual(shown(saying(sport, Tcp.ack)), [net.node, NODE_PORT, net.client, sport]);
      arrive(sendOn(tcp(sport, Tcp.ack)).bytes);
      assert.deepEqual(shown(saying(sport, Tcp.ack)), [net.node, NODE_PORT, net.client, sport]);
    });

    it("a backend that its own node would not choose gets the port that the others have", () => {
      const sport = ++port;
      const own = { proto: Proto.udp, type: "NodePort", flags: LbFlag.dsr, port: 30_099 } as const;
      asked.service({
        ...own,
        id: 40,
        address: net.node,
        backends: [{ id: 400, address: net.backend, port: 8053 }],
      });
      const others = [{ id: 901, address: v6 ? "fd00:10:0:3::9" : "10.0.3.9", port: 8053 }];
      answering.service({ ...own, id: 90, address: net.otherNode, backends: others });
      const transport = { kind: "udp", sport, dport: 30_099 } as const;
      const out = arrive(sendOn(buildPacket({ from: net.client, to: net.node, transport })).bytes);
      assert.deepEqual(shown(out), [net.client, sport, net.backend, 8053]);
    });

    it("only nodes are believed, and only of frontends", () => {
      const { bytes } = sendOn(tcp(++port, Tcp.syn));
      const stranger = bytes.slice();
      const last = ETH + (v6 ? 8 + 15 : 12 + 3);
      stranger[last]! ^= 0x40;
      const left = arrive(stranger);
      assert.deepEqual(left.bytes.subarray(ETH + net.ip), stranger.subarray(ETH + net.ip), "not taken out");
      const elsewhere = sendOn(tcp(++port, Tcp.syn)).bytes.slice();
      elsewhere.set([0x75, 0x00], ETH + 2 * net.ip + 2);
      const out = arrive(elsewhere);
      assert.deepEqual([out.action, out.events[0]?.reason], [Action.drop, DropReason.snatNoMapFound]);
      const short = arrive(bytes.slice(0, ETH + net.ip + 10));
      assert.equal(short.action, Action.drop);
    });
  });
}
