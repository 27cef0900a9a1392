// SPDX-License-Identifier: Apache-2.0
/** Direct server return, from the node a client asks (at traffic control and at XDP) to the backend's node and back to the client. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { DropReason, LbFlag, TraceReason } from "#datapath/layouts/enums.ts";
import { Action, at, type Outcome, XdpAction } from "#kit/datapath.ts";
import { CLIENT_IDENTITY, DsrPort, DsrService, dropped, dsrPair, shown } from "#kit/dsr-pair.ts";
import { barePacket, buildFragments, Proto, readFragments, readPacket, Tcp } from "#kit/packet.ts";

/** Bytes of the option that tells the frontend. */
const OPTION = { v4: 8, v6: 24 } as const;
const WRAPPING = 50;
const ETH = 14;

for (const routing of ["native", "tunnel"] as const) {
  for (const name of ["v4", "v6"] as const) {
    const tunnel = routing === "tunnel";
    const v6 = name === "v6";
    const option = OPTION[name];

    describe(`direct server return, ${name}, ${routing}`, () => {
      const title = `dsr${name}${routing}`;
      const pair = dsrPair({ title, name, routing, tunnelEnd: tunnel ? at.v4.otherNode : undefined });
      const { net, tcp, udp, udpFields, sendOn, arrive, answerTcp, answerUdp, answerOfNode, nextPort } = pair;
      before(pair.start);
      after(() => pair[Symbol.dispose]());

      const grown = (out: Outcome, bytes: Uint8Array) => out.bytes.length - bytes.length;

      it("TCP: the backend sees the client, the client sees what it asked", () => {
        const sport = nextPort();
        const bytes = tcp(sport, Tcp.syn);
        const syn = sendOn(bytes);
        assert.deepEqual(shown(syn), [net.client, sport, net.backend, 8080]);
        assert.equal(syn.packet.ttl, 63);
        assert.equal(grown(syn, bytes), option);
        assert.equal(syn.tunnel?.vni, tunnel ? (v6 ? 10 : 9) : undefined);
        assert.equal(syn.events[0]?.reason, TraceReason.new);
        const in1 = arrive(syn);
        assert.equal(in1.action, Action.redirect, `reason ${in1.events[0]?.reason}`);
        assert.deepEqual(shown(in1), [net.client, sport, net.backend, 8080]);
        assert.deepEqual(
          [in1.events[0]?.frontend, in1.events[0]?.srcIdentity],
          [DsrService.answering, CLIENT_IDENTITY],
        );
        const back = answerTcp(sport, Tcp.syn | Tcp.ack);
        assert.equal(back.action, Action.redirect, `reason ${back.events[0]?.reason}`);
        assert.deepEqual(shown(back), [net.node, DsrPort.node, net.client, sport]);
        assert.equal(back.tunnel, undefined, "past the tunnel and the node that was asked");
        const later = tcp(sport, Tcp.ack);
        const more = sendOn(later);
        assert.equal(grown(more, later), 0, "its node has been told");
        assert.deepEqual(shown(more), [net.client, sport, net.backend, 8080]);
        assert.equal(arrive(more).action, Action.redirect);
        assert.deepEqual(shown(answerTcp(sport, Tcp.ack)), [net.node, DsrPort.node, net.client, sport]);
      });

      it("a load balancer's address, which every node has", () => {
        const sport = nextPort();
        arrive(sendOn(tcp(sport, Tcp.syn, net.vip, DsrPort.vip)));
        assert.deepEqual(shown(answerTcp(sport, Tcp.syn | Tcp.ack)), [
          net.vip,
          DsrPort.vip,
          net.client,
          sport,
        ]);
      });

      it("UDP: every datagram says where it was sent, the last one counts", () => {
        const sport = nextPort();
        for (const dport of [DsrPort.node, DsrPort.node, DsrPort.other, DsrPort.node]) {
          const bytes = udp(sport, dport);
          const out = sendOn(bytes);
          assert.equal(grown(out, bytes), option);
          assert.equal(arrive(out).action, Action.redirect);
          const back = answerUdp(sport);
          assert.deepEqual(shown(back), [net.node, dport, net.client, sport]);
        }
      });

      it("XDP sends the same as traffic control", () => {
        for (const make of [
          () => tcp(nextPort(), Tcp.syn),
          () => udp(nextPort()),
          () => udp(nextPort(), DsrPort.node, 1301),
        ]) {
          const bytes = make();
          const early = pair.asked.fromWire(bytes);
          const late = sendOn(bytes);
          assert.equal(early.action, XdpAction.tx);
          const inner = late.tunnel ? early.bytes.subarray(WRAPPING) : early.bytes;
          readPacket(inner);
          assert.deepEqual(inner.subarray(ETH), late.bytes.subarray(ETH));
          assert.equal(early.events.length, 1);
        }
        const sport = nextPort();
        pair.asked.fromWire(tcp(sport, Tcp.syn));
        const more = pair.asked.fromWire(tcp(sport, Tcp.ack));
        assert.deepEqual(shown({ ...more, packet: readPacket(more.bytes.subarray(tunnel ? WRAPPING : 0)) }), [
          net.client,
          sport,
          net.backend,
          8080,
        ]);
      });

      it("where the option does not fit, the client is told the room there is, in its own terms", () => {
        const room = (tunnel ? 1450 : 1500) - option;
        const longest = room - net.ip - 8;
        const sport = nextPort();
        assert.equal(pair.asked.fromWire(udp(sport, DsrPort.node, longest + 1)).action, XdpAction.pass);
        const bytes = udp(sport, DsrPort.node, longest + 1);
        const out = pair.asked.fromDevice(bytes);
        assert.equal(out.action, Action.redirect);
        assert.equal(out.events[0]?.reason, DropReason.ipFragmentationNotSupported);
        assert.deepEqual([out.packet.type, out.packet.code], v6 ? [2, 0] : [3, 4]);
        assert.deepEqual([out.packet.source, out.packet.destination], [net.node, net.client]);
        assert.deepEqual(
          [
            out.packet.about?.source,
            out.packet.about?.sport,
            out.packet.about?.destination,
            out.packet.about?.dport,
          ],
          [net.client, sport, net.node, DsrPort.node],
        );
        const word = new DataView(out.bytes.buffer, out.bytes.byteOffset + ETH + net.ip + 4).getUint32(0);
        assert.equal(word, room);
        const fits = udp(sport, DsrPort.node, longest);
        assert.equal(grown(sendOn(fits), fits), option);
        const known = udp(sport, DsrPort.node, longest + 1);
        assert.equal(grown(sendOn(known), known), 0, "its node knows by now");
      });

      it("fragments: the first says it, all arrive", () => {
        const sport = nextPort();
        const parts = buildFragments({ ...udpFields(sport, DsrPort.node, 900), id: sport }, 400);
        const sent = parts.map((part) => sendOn(part));
        assert.deepEqual(
          sent.map((out, i) => grown(out, parts[i]!)),
          [option, 0, 0],
        );
        for (const out of sent) assert.equal(arrive(out).action, Action.redirect);
        const whole = readFragments(sent.map(({ bytes }) => bytes));
        assert.deepEqual([whole.destination, whole.dport], [net.backend, 8080]);
        const back = answerUdp(sport);
        assert.deepEqual(shown(back), [net.node, DsrPort.node, net.client, sport]);
      });

      it("an error of the backend's shows what the client sent", () => {
        const sport = nextPort();
        arrive(sendOn(udp(sport)));
        const about = barePacket({
          from: net.client,
          to: net.backend,
          transport: { kind: "udp", sport, dport: 8080 },
        });
        const transport = { kind: "error", type: v6 ? 1 : 3, code: v6 ? 4 : 3, about } as const;
        const out = pair.answer(transport);
        assert.equal(out.action, Action.redirect);
        assert.deepEqual(
          [out.packet.source, out.packet.about?.destination, out.packet.about?.dport],
          [net.node, net.node, DsrPort.node],
        );
      });

      it("a process of the backend's node", () => {
        const sport = nextPort();
        const out = sendOn(tcp(sport, Tcp.syn, net.node, DsrPort.host));
        assert.deepEqual(
          [out.packet.source, out.packet.destination, out.tunnel],
          [net.client, net.otherNode, undefined],
        );
        assert.equal(arrive(out).action, Action.pass);
        const back = answerOfNode(sport, Tcp.syn | Tcp.ack);
        assert.equal(back.action, Action.pass);
        assert.deepEqual(shown(back), [net.node, DsrPort.host, net.client, sport]);
      });

      it("two services and one client port: the connection in use stays, the other is not begun", () => {
        const sport = nextPort();
        arrive(sendOn(tcp(sport, Tcp.syn)));
        answerTcp(sport, Tcp.syn | Tcp.ack);
        const other = arrive(sendOn(tcp(sport, Tcp.syn, net.node, DsrPort.other)));
        assert.deepEqual(dropped(other), [Action.drop, DropReason.noMappingForNatMasquerade]);
        assert.deepEqual(shown(answerTcp(sport, Tcp.ack)), [net.node, DsrPort.node, net.client, sport]);
        answerTcp(sport, Tcp.rst);
        assert.equal(arrive(sendOn(tcp(sport, Tcp.syn, net.node, DsrPort.other))).action, Action.redirect);
        assert.deepEqual(shown(answerTcp(sport, Tcp.syn | Tcp.ack)), [
          net.node,
          DsrPort.other,
          net.client,
          sport,
        ]);
      });

      it("nobody makes a pod answer for what is no frontend", () => {
        const sent = sendOn(tcp(nextPort(), Tcp.syn));
        const lie = (patch: (bytes: Uint8Array, at: number) => void) => {
          const bytes = sent.bytes.slice();
          patch(bytes, ETH + net.ip);
          if (!v6) {
            bytes.set([0, 0], 24);
            let sum = 0;
            for (let i = ETH; i < ETH + 28; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!;
            sum = ~((sum & 0xffff) + (sum >>> 16)) & 0xffff;
            bytes.set([sum >>> 8, sum & 255], 24);
          }
          return dropped(arrive({ bytes, tunnel: sent.tunnel }));
        };
        const refused = [Action.drop, DropReason.snatNoMapFound];
        const portAt = v6 ? 4 : 2;
        assert.deepEqual(
          lie((bytes, at) => bytes.set([0, 22], at + portAt)),
          refused,
          "another port",
        );
        assert.deepEqual(
          lie((bytes, at) => bytes.set([9], at + option - 1)),
          refused,
          "another address",
        );
        assert.equal(
          lie((bytes, at) => bytes.set([v6 ? 5 : 0x94], at + (v6 ? 2 : 0)))[0],
          Action.redirect,
          "another option",
        );
      });

      it("a connection is answered as it began, whatever the service is told meanwhile", () => {
        const service = (flags: number) =>
          pair.asked.service({
            id: 40,
            address: net.node,
            port: 30_090,
            proto: Proto.udp,
            type: "NodePort",
            flags,
            backends: [{ id: 400, address: net.backend, port: 8080 }],
          });
        const [first, second] = [nextPort(), nextPort()];
        const source = (sport: number) => sendOn(udp(sport, 30_090)).packet.source;
        service(0);
        const own = tunnel ? net.router : net.node;
        assert.equal(source(first), own);
        service(LbFlag.dsr);
        assert.deepEqual([source(first), source(second)], [own, net.client]);
        service(0);
        assert.deepEqual([source(first), source(second)], [own, net.client]);
      });
    });
  }
}
