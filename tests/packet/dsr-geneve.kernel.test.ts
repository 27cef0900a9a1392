// SPDX-License-Identifier: Apache-2.0
/** Direct server return by Geneve: what the client sent goes translated to the backend's node, which is told the frontend and answers. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ConfigFlag, DropReason, TraceReason } from "#datapath/layouts/enums.ts";
import { Action, at } from "#kit/datapath.ts";
import { DsrPort, dropped, dsrNets, dsrPair, shown } from "#kit/dsr-pair.ts";
import { buildPacket, Proto, readPacket, Tcp } from "#kit/packet.ts";
import { type Address, addressBytes } from "#model/ip.ts";
import { wrappedCases } from "./dsr-wrapped.ts";

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
    const { net, tcp, sendOn, arrive, answerTcp, nextPort } = pair;
    before(pair.start);
    after(() => pair[Symbol.dispose]());

    const bare = (bytes: Uint8Array) =>
      routing === "tunnel" ? pair.answering.fromOverlay(bytes, 9) : arrive({ bytes });
    wrappedCases({ pair, name, overhead, bare });

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
