// SPDX-License-Identifier: Apache-2.0
/** Direct server return by IP in IP: what the client sent goes whole to the backend's node, which takes it out and answers the client. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ConfigFlag, DropReason, LbFlag, TraceReason } from "#datapath/layouts/enums.ts";
import { Action } from "#kit/datapath.ts";
import { DsrPort, dropped, dsrPair, shown } from "#kit/dsr-pair.ts";
import { buildPacket, Proto, readPacket, Tcp } from "#kit/packet.ts";
import { wrappedCases } from "./dsr-wrapped.ts";

/** Of the header around, by what it has inside. */
const PROTO = { v4: 4, v6: 41 } as const;
const ETH = 14;

for (const name of ["v4", "v6"] as const) {
  const v6 = name === "v6";

  describe(`direct server return by IP in IP, ${name}`, () => {
    const pair = dsrPair({ title: `ipip${name}`, name, routing: "native", flags: ConfigFlag.dsrIpip });
    const { net, tcp, sendOn, arrive, answerTcp, nextPort } = pair;
    before(pair.start);
    after(() => pair[Symbol.dispose]());

    wrappedCases({ pair, name, overhead: net.ip, bare: (bytes) => arrive({ bytes }) });

    const inner = (bytes: Uint8Array) =>
      Uint8Array.of(...bytes.subarray(0, ETH), ...bytes.subarray(ETH + net.ip));

    it("TCP: the packet goes whole, the backend sees the client, the client sees what it asked", () => {
      const sport = nextPort();
      const bytes = tcp(sport, Tcp.syn);
      const syn = sendOn(bytes);
      assert.equal(syn.bytes.length - bytes.length, net.ip);
      assert.deepEqual(
        [syn.packet.source, syn.packet.destination, syn.packet.proto, syn.packet.ttl],
        [net.node, net.backend, PROTO[name], 64],
      );
      const within = readPacket(inner(syn.bytes));
      assert.deepEqual(shown({ packet: within }), [net.client, sport, net.node, DsrPort.node]);
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
      assert.deepEqual(shown(answerTcp(sport, Tcp.syn | Tcp.ack)), [
        net.node,
        DsrPort.node,
        net.client,
        sport,
      ]);
      for (const flags of [Tcp.ack, Tcp.ack, Tcp.fin | Tcp.ack]) {
        const more = sendOn(tcp(sport, flags));
        assert.equal(more.packet.proto, PROTO[name], "every packet goes so");
        assert.deepEqual(shown(arrive(more)), [net.client, sport, net.backend, 8080]);
        assert.deepEqual(shown(answerTcp(sport, Tcp.ack)), [net.node, DsrPort.node, net.client, sport]);
      }
    });

    it("a backend that its own node would not choose gets the port that the others have", () => {
      const sport = nextPort();
      const own = { proto: Proto.udp, type: "NodePort", flags: LbFlag.dsr, port: 30_099 } as const;
      pair.asked.service({
        ...own,
        id: 40,
        address: net.node,
        backends: [{ id: 400, address: net.backend, port: 8053 }],
      });
      const others = [{ id: 901, address: net.elsewhere, port: 8053 }];
      pair.answering.service({ ...own, id: 90, address: net.otherNode, backends: others });
      const transport = { kind: "udp", sport, dport: 30_099 } as const;
      const out = arrive(sendOn(buildPacket({ from: net.client, to: net.node, transport })));
      assert.deepEqual(shown(out), [net.client, sport, net.backend, 8053]);
    });

    it("only nodes are believed, and only of frontends", () => {
      const { bytes } = sendOn(tcp(nextPort(), Tcp.syn));
      const stranger = bytes.slice();
      const last = ETH + (v6 ? 8 + 15 : 12 + 3);
      stranger[last]! ^= 0x40;
      const left = arrive({ bytes: stranger });
      assert.deepEqual(left.bytes.subarray(ETH + net.ip), stranger.subarray(ETH + net.ip), "not taken out");
      const elsewhere = sendOn(tcp(nextPort(), Tcp.syn)).bytes.slice();
      elsewhere.set([0x75, 0x00], ETH + 2 * net.ip + 2);
      assert.deepEqual(dropped(arrive({ bytes: elsewhere })), [Action.drop, DropReason.snatNoMapFound]);
      const short = arrive({ bytes: bytes.slice(0, ETH + net.ip + 10) });
      assert.equal(short.action, Action.drop);
    });
  });
}
