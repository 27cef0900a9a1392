// SPDX-License-Identifier: Apache-2.0
/** Direct server return by IP in IP: what the client sent goes whole to the backend's node, which takes it out and answers the client. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ConfigFlag, DropReason, LbFlag, TraceReason } from "#datapath/layouts/enums.ts";
import { Action, XdpAction } from "#kit/datapath.ts";
import { DsrPort, dropped, dsrPair, shown } from "#kit/dsr-pair.ts";
import { buildFragments, buildPacket, Proto, readFragments, readPacket, Tcp } from "#kit/packet.ts";

/** Of the header around, by what it has inside. */
const PROTO = { v4: 4, v6: 41 } as const;
const ETH = 14;

for (const name of ["v4", "v6"] as const) {
  const v6 = name === "v6";

  describe(`direct server return by IP in IP, ${name}`, () => {
    const pair = dsrPair({ title: `ipip${name}`, name, routing: "native", flags: ConfigFlag.dsrIpip });
    const { net, tcp, udp, udpFields, sendOn, arrive, answerTcp, answerUdp, answerOfNode, nextPort } = pair;
    before(pair.start);
    after(() => pair[Symbol.dispose]());

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

    it("a load balancer's address, which every node has", () => {
      const sport = nextPort();
      const out = arrive(sendOn(tcp(sport, Tcp.syn, net.vip, DsrPort.vip)));
      assert.deepEqual(shown(out), [net.client, sport, net.backend, 8080]);
      assert.deepEqual(shown(answerTcp(sport, Tcp.syn | Tcp.ack)), [net.vip, DsrPort.vip, net.client, sport]);
    });

    it("a process of the backend's node", () => {
      const sport = nextPort();
      const out = arrive(sendOn(tcp(sport, Tcp.syn, net.node, DsrPort.host)));
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
        [udp(nextPort()), 1],
        [udp(nextPort(), DsrPort.node, 1301), 1],
      ] as const) {
        const early = pair.asked.fromWire(bytes);
        const late = sendOn(bytes);
        assert.equal(early.action, XdpAction.tx);
        assert.deepEqual(early.bytes.subarray(12), late.bytes.subarray(12), "all but the link's addresses");
        assert.equal(early.events.length, told);
        assert.equal(pair.answering.fromWire(early.bytes).action, XdpAction.pass);
        assert.deepEqual(shown(arrive(early)).slice(2), [net.backend, 8080]);
      }
    });

    it("what has no room with the header around it: the client is told the room there is, in its own terms", () => {
      const longest = 1500 - net.ip - net.ip - 8;
      const sport = nextPort();
      const bytes = udp(sport, DsrPort.node, longest + 1);
      assert.equal(pair.asked.fromWire(bytes).action, XdpAction.pass);
      const out = pair.asked.fromDevice(bytes);
      assert.equal(out.action, Action.redirect);
      assert.deepEqual([out.packet.type, out.packet.code], v6 ? [2, 0] : [3, 4]);
      assert.deepEqual([out.packet.source, out.packet.destination], [net.node, net.client]);
      assert.deepEqual([out.packet.about?.destination, out.packet.about?.dport], [net.node, DsrPort.node]);
      const word = new DataView(out.bytes.buffer, out.bytes.byteOffset + ETH + net.ip + 4).getUint32(0);
      assert.equal(word, 1500 - net.ip);
      assert.equal(sendOn(udp(sport, DsrPort.node, longest)).bytes.length, ETH + 1500);
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
      const asIs = (sent: string, dport: number, flags: number) =>
        arrive({
          bytes: buildPacket({ from: net.client, to: sent, transport: { kind: "tcp", sport, dport, flags } }),
        });
      arrive(sendOn(tcp(sport, Tcp.syn)));
      answerTcp(sport, Tcp.syn | Tcp.ack);
      assert.equal(asIs(net.backend, 8080, Tcp.ack).action, Action.redirect, "as by option, told once");
      assert.deepEqual(shown(answerTcp(sport, Tcp.ack)), [net.node, DsrPort.node, net.client, sport]);
      arrive(sendOn(tcp(sport, Tcp.ack)));
      assert.deepEqual(shown(answerTcp(sport, Tcp.ack)), [net.node, DsrPort.node, net.client, sport]);
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
