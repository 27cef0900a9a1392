// SPDX-License-Identifier: Apache-2.0
/** Direct server return by Geneve: what the client sent goes translated to the backend's node, which is told the frontend and answers. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ConfigFlag, DropReason, TraceReason } from "#datapath/layouts/enums.ts";
import { Action, at, XdpAction } from "#kit/datapath.ts";
import { DsrPort, dropped, dsrNets, dsrPair, shown } from "#kit/dsr-pair.ts";
import { buildFragments, buildPacket, Proto, readFragments, readPacket, Tcp } from "#kit/packet.ts";
import { type Address, addressBytes } from "#model/ip.ts";

/** By the client's family. told: bytes of the headers behind the outer IP header; type: Ethernet's, of the inside. */
const inside = { v4: { told: 28, type: 0x0800 }, v6: { told: 40, type: 0x86dd } } as const;

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
  const { told, type } = inside[name];
  const v6 = name === "v6";
  const outer = underlay ?? name;
  const ends = at[outer];
  /** Between the nodes. */
  const outerIp = dsrNets[outer].ip;
  const overhead = outerIp + told;
  const known = underlay ? `${underlay} nodes` : "the backend's node unknown";

  describe(`direct server return by Geneve, ${name}, ${routing}, ${known}`, () => {
    const pair = dsrPair({
      title: `gen${name}${routing.slice(0, 1)}${underlay ?? "n"}`,
      name,
      routing,
      flags: ConfigFlag.dsrGeneve,
      tunnelEnd: underlay && ends.otherNode,
    });
    const { net, tcp, udp, udpFields, sendOn, arrive, answerTcp, answerUdp, answerOfNode, nextPort } = pair;
    before(pair.start);
    after(() => pair[Symbol.dispose]());

    /** The frame inside. */
    const inner = (bytes: Uint8Array, added = overhead) =>
      Uint8Array.of(...bytes.subarray(0, 12), type >> 8, type & 255, ...bytes.subarray(ETH + added));
    /** What the header between the nodes has to be for a frontend, from Geneve's first byte on. */
    const header = (address: string, frontendPort: number) => {
      const bytes = addressBytes(address as Address);
      const own = v6 ? bytes : bytes.subarray(-4);
      return [
        ...[v6 ? 6 : 3, 0x40, type >> 8, type & 255, 0, 0, 0, 0],
        ...[0xff, 0x57, 0x81, v6 ? 5 : 2, frontendPort >> 8, frontendPort & 255, 0, 0],
        ...own,
      ];
    };

    it("TCP: the backend sees the client, the client sees what it asked", () => {
      const sport = nextPort();
      const bytes = tcp(sport, Tcp.syn);
      const syn = sendOn(bytes);
      assert.equal(syn.bytes.length - bytes.length, overhead);
      const to = underlay ? ends.otherNode : net.backend;
      assert.deepEqual(
        [syn.packet.source, syn.packet.destination, syn.packet.proto, syn.packet.dport, syn.packet.ttl],
        [ends.node, to, Proto.udp, GENEVE, 64],
      );
      assert.ok(syn.packet.sport >= 0xc000);
      const head = ETH + outerIp;
      const view = new DataView(syn.bytes.buffer, syn.bytes.byteOffset);
      assert.equal(view.getUint16(head + 4), syn.bytes.length - head, "UDP's length");
      assert.equal(view.getUint16(head + 6), 0, "no checksum");
      assert.deepEqual([...syn.bytes.subarray(head + 8, ETH + overhead)], header(net.node, DsrPort.node));
      const within = readPacket(inner(syn.bytes));
      assert.deepEqual(shown({ packet: within }), [net.client, sport, net.backend, 8080]);
      assert.equal(within.ttl, 63);
      const [event] = syn.events;
      assert.deepEqual(
        [event?.reason, event?.saddr, event?.daddr, event?.dport],
        [TraceReason.new, net.client, net.backend, 8080],
      );
      const come = arrive(syn);
      assert.equal(come.action, Action.redirect, `reason ${come.events[0]?.reason}`);
      assert.deepEqual(shown(come), [net.client, sport, net.backend, 8080]);
      assert.equal(come.bytes.length, bytes.length);
      assert.deepEqual([...come.bytes.subarray(12, 14)], [type >> 8, type & 255]);
      assert.deepEqual(shown(answerTcp(sport, Tcp.syn | Tcp.ack)), [
        net.node,
        DsrPort.node,
        net.client,
        sport,
      ]);
      for (const flags of [Tcp.ack, Tcp.ack, Tcp.fin | Tcp.ack]) {
        const more = sendOn(tcp(sport, flags));
        assert.equal(more.packet.dport, GENEVE, "every packet goes so");
        assert.equal(more.packet.sport, syn.packet.sport, "one flow, one way");
        assert.deepEqual(shown(arrive(more)), [net.client, sport, net.backend, 8080]);
        assert.deepEqual(shown(answerTcp(sport, Tcp.ack)), [net.node, DsrPort.node, net.client, sport]);
      }
    });

    it("UDP, and a load balancer's address, which every node has", () => {
      const sport = nextPort();
      assert.deepEqual(shown(arrive(sendOn(udp(sport)))), [net.client, sport, net.backend, 8080]);
      const back = answerUdp(sport);
      assert.deepEqual(shown(back), [net.node, DsrPort.node, net.client, sport]);
      const other = nextPort();
      const out = arrive(sendOn(tcp(other, Tcp.syn, net.vip, DsrPort.vip)));
      assert.deepEqual(shown(out), [net.client, other, net.backend, 8080]);
      assert.deepEqual(shown(answerTcp(other, Tcp.syn | Tcp.ack)), [net.vip, DsrPort.vip, net.client, other]);
    });

    it("a process of the backend's node", () => {
      const sport = nextPort();
      const sent = sendOn(tcp(sport, Tcp.syn, net.node, DsrPort.host));
      assert.equal(sent.packet.destination, net.otherNode);
      const out = arrive(sent);
      assert.equal(out.action, Action.pass, `reason ${out.events[0]?.reason}`);
      assert.deepEqual(shown(out), [net.client, sport, net.otherNode, 8080]);
      const back = answerOfNode(sport, Tcp.syn | Tcp.ack);
      assert.deepEqual(shown(back), [net.node, DsrPort.host, net.client, sport]);
    });

    it("XDP sends the same as traffic control, and leaves what arrives to it", () => {
      const sport = nextPort();
      for (const [bytes, told] of [
        [tcp(sport, Tcp.syn), 1],
        [tcp(sport, Tcp.ack), 0],
        [tcp(sport, Tcp.ack), 0],
        [udp(nextPort()), 1],
        [udp(nextPort(), DsrPort.node, 1301), 1],
      ] as const) {
        const early = pair.asked.fromWire(bytes);
        const late = sendOn(bytes);
        assert.equal(early.action, XdpAction.tx);
        assert.deepEqual(early.bytes.subarray(12), late.bytes.subarray(12), "all but the link's addresses");
        assert.equal(early.events.length, told);
        assert.equal(readPacket(early.bytes).dport, GENEVE);
        const up = pair.answering.fromWire(early.bytes);
        assert.equal(up.action, XdpAction.pass);
        assert.deepEqual(up.bytes, early.bytes);
        assert.deepEqual(shown(arrive(early)).slice(2), [net.backend, 8080]);
      }
    });

    it("what has no room with the headers around it: the client is told the room there is, in its own terms", () => {
      const ip = v6 ? 40 : 20;
      const longest = 1500 - overhead - ip - 8;
      const sport = nextPort();
      const bytes = udp(sport, DsrPort.node, longest + 1);
      assert.equal(pair.asked.fromWire(bytes).action, XdpAction.pass);
      const out = pair.asked.fromDevice(bytes);
      assert.equal(out.action, Action.redirect);
      assert.deepEqual([out.packet.type, out.packet.code], v6 ? [2, 0] : [3, 4]);
      assert.deepEqual([out.packet.source, out.packet.destination], [net.node, net.client]);
      assert.deepEqual([out.packet.about?.destination, out.packet.about?.dport], [net.node, DsrPort.node]);
      const word = new DataView(out.bytes.buffer, out.bytes.byteOffset + ETH + ip + 4).getUint32(0);
      assert.equal(word, 1500 - overhead);
      assert.equal(sendOn(udp(sport, DsrPort.node, longest)).bytes.length, ETH + 1500);
      assert.equal(pair.asked.fromWire(udp(sport, DsrPort.node, longest)).bytes.length, ETH + 1500);
    });

    it("fragments go each in a packet of its own, and all arrive", () => {
      const sport = nextPort();
      const sent = buildFragments({ ...udpFields(sport, DsrPort.node, 900), id: sport }, 400).map((part) =>
        sendOn(part),
      );
      assert.equal(sent.length, 3);
      const come = sent.map(({ bytes }) => arrive({ bytes }));
      for (const out of come) assert.equal(out.action, Action.redirect, `reason ${out.events[0]?.reason}`);
      const whole = readFragments(come.map(({ bytes }) => bytes));
      assert.deepEqual([whole.source, whole.destination, whole.dport], [net.client, net.backend, 8080]);
      const back = answerUdp(sport);
      assert.deepEqual(shown(back), [net.node, DsrPort.node, net.client, sport]);
    });

    it("a connection goes on while nodes change from one way of telling to the other", () => {
      const sport = nextPort();
      const asIs = (flags: number) => {
        const transport = { kind: "tcp", sport, dport: 8080, flags } as const;
        const bytes = buildPacket({ from: net.client, to: net.backend, transport });
        return routing === "tunnel" ? pair.answering.fromOverlay(bytes, 9) : arrive({ bytes });
      };
      arrive(sendOn(tcp(sport, Tcp.syn)));
      answerTcp(sport, Tcp.syn | Tcp.ack);
      assert.equal(asIs(Tcp.ack).action, Action.redirect, "as by option, told once");
      assert.deepEqual(shown(answerTcp(sport, Tcp.ack)), [net.node, DsrPort.node, net.client, sport]);
      arrive(sendOn(tcp(sport, Tcp.ack)));
      assert.deepEqual(shown(answerTcp(sport, Tcp.ack)), [net.node, DsrPort.node, net.client, sport]);
    });

    it("only nodes are believed, only of frontends, and only of backends here", () => {
      const { bytes } = sendOn(tcp(nextPort(), Tcp.syn));
      const stranger = buildPacket({
        from: outer === "v6" ? "fd00:1::99" : "192.168.1.99",
        to: ends.otherNode,
        transport: { kind: "udp", sport: 50_000, dport: GENEVE, checksum: false },
        payload: bytes.slice(ETH + outerIp + 8),
      });
      const left = arrive({ bytes: stranger });
      assert.equal(left.action, Action.pass);
      assert.deepEqual(left.bytes.subarray(ETH), stranger.subarray(ETH), "not taken out");
      const frontendPort = ETH + outerIp + 20;
      const elsewhere = sendOn(tcp(nextPort(), Tcp.syn)).bytes.slice();
      elsewhere.set([0x75, 0x00], frontendPort);
      assert.deepEqual(dropped(arrive({ bytes: elsewhere })), [Action.drop, DropReason.snatNoMapFound]);
      const nobody = sendOn(tcp(nextPort(), Tcp.syn)).bytes.slice();
      nobody[ETH + overhead + (v6 ? 39 : 19)]! ^= 0x40;
      assert.deepEqual(dropped(arrive({ bytes: nobody })), [Action.drop, DropReason.serviceBackendNotFound]);
      assert.equal(arrive({ bytes: bytes.slice(0, ETH + overhead + 10) }).action, Action.drop);
      const noPorts = sendOn(tcp(nextPort(), Tcp.syn)).bytes.slice();
      noPorts[ETH + overhead + (v6 ? 6 : 9)] = 132;
      assert.deepEqual(dropped(arrive({ bytes: noPorts })), [
        Action.drop,
        DropReason.unsupportedProtocolForDsrEncap,
      ]);
    });

    it("what else nodes send each other in Geneve is left to whose it is", () => {
      const { bytes } = sendOn(tcp(nextPort(), Tcp.syn));
      const head = ETH + outerIp;
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
        const out = pair.answering.fromDevice(Uint8Array.of(0x02, 0, 0, 0, 0, 0xbb, ...other.subarray(6)));
        assert.deepEqual(out.bytes.subarray(head), other.subarray(head), what);
        assert.notEqual(out.action, Action.drop, what);
      }
    });
  });
}
