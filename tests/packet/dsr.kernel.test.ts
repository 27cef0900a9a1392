// SPDX-License-Identifier: Apache-2.0
/** Direct server return, from the node a client asks (at traffic control and at XDP) to the backend's node and back to the client. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { DropReason, LbFlag, TraceReason } from "#datapath/layouts/enums.ts";
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
import { parseAddress } from "#model/ip.ts";

const families = {
  v4: { backend: "10.0.2.5", bits: "/32", client: "198.51.100.9", vip: "203.0.113.80", option: 8, ip: 20 },
  v6: {
    backend: "fd00:10:0:2::5",
    bits: "/128",
    client: "2001:db8:9::9",
    vip: "2001:db8:80::80",
    option: 24,
    ip: 40,
  },
} as const;

const NODE_PORT = 30_080;
const OTHER_PORT = 30_081;
const HOST_PORT = 30_082;
const VIP_PORT = 80;
const WRAPPING = 50;
const ETH = 14;
const CIDR_IDENTITY = (1 << 24) + 7;

for (const routing of ["native", "tunnel"] as const) {
  for (const name of ["v4", "v6"] as const) {
    const net = { ...families[name], ...at[name] };
    const tunnel = routing === "tunnel";
    const v6 = name === "v6";

    describe(`direct server return, ${name}, ${routing}`, () => {
      let asked: TestNode;
      let answering: TestNode;
      let pod: PodFields;
      let port = 20_000;

      before(() => {
        asked = TestNode.create(`dsra${name}${routing}`, { routing, xdp: true });
        answering = TestNode.create(`dsrb${name}${routing}`, {
          routing,
          config: {
            nodeV4: parseAddress(at.v4.otherNode),
            nodeV6: parseAddress(at.v6.otherNode),
            routerV4: parseAddress(at.v4.otherRouter),
            routerV6: parseAddress(at.v6.otherRouter),
          },
        });
        asked.identify(net.backend + net.bits, 2005, tunnel ? at.v4.otherNode : undefined);
        answering.identify(net.node + net.bits, 6);
        answering.identify(net.otherNode + net.bits, 1);
        answering.identify(net.client + net.bits, CIDR_IDENTITY);
        pod = answering.pod({ id: 1, [name]: net.backend, identity: 2005 });
        for (const [i, proto] of [Proto.tcp, Proto.udp].entries()) {
          const pods = [{ address: net.backend, port: 8080 }];
          for (const [node, own, id] of [
            [asked, net.node, 20 + i],
            [answering, net.otherNode, 70 + i],
          ] as const) {
            const service = (
              number: number,
              address: string,
              port: number,
              backends: readonly { address: string; port: number }[],
              flags: number = LbFlag.dsr,
            ) =>
              node.service({
                id: number,
                address,
                port,
                proto,
                type: "NodePort",
                flags,
                backends: backends.map((backend, n) => ({ id: number * 10 + n, ...backend })),
              });
            service(id, own, NODE_PORT, pods);
            service(id + 2, own, OTHER_PORT, pods);
            service(id + 4, net.vip, VIP_PORT, pods, LbFlag.dsr | LbFlag.external);
            service(id + 6, own, HOST_PORT, [{ address: net.otherNode, port: 8080 }]);
          }
        }
      });
      after(() => {
        asked[Symbol.dispose]();
        answering[Symbol.dispose]();
      });

      const tcp = (sport: number, flags: number, to: string = net.node, dport = NODE_PORT) =>
        buildPacket({ from: net.client, to, transport: { kind: "tcp", sport, dport, flags } });
      const udpFields = (sport: number, dport = NODE_PORT, size = 3): PacketFields => ({
        from: net.client,
        to: net.node,
        transport: { kind: "udp", sport, dport },
        payload: Uint8Array.from({ length: size }, (_, i) => (i * 7) & 255),
      });
      const udp = (sport: number, dport?: number, size?: number) =>
        buildPacket(udpFields(sport, dport, size));
      /** The asked node passes it on. */
      const sendOn = (bytes: Uint8Array): Outcome => {
        const out = asked.fromDevice(bytes);
        assert.equal(out.action, Action.redirect, `reason ${out.events[0]?.reason}`);
        return out;
      };
      const arrive = ({ bytes, tunnel: through }: Pick<Outcome, "bytes" | "tunnel">): Outcome => {
        const inner = bytes.slice();
        inner.set([0x02, 0, 0, 0, 0, 0xbb]);
        return through ? answering.fromOverlay(inner, through.vni) : answering.fromDevice(inner);
      };
      const answer = (sport: number, transport: PacketFields["transport"]) =>
        answering.fromPod(
          pod,
          buildPacket({ from: net.backend, to: net.client, transport, payload: Uint8Array.of(sport & 255) }),
        );
      const saying = (sport: number, flags: number) =>
        answer(sport, { kind: "tcp", sport: 8080, dport: sport, flags });
      const shown = (out: Outcome) => [
        out.packet.source,
        out.packet.sport,
        out.packet.destination,
        out.packet.dport,
      ];
      const grown = (out: Outcome, bytes: Uint8Array) => out.bytes.length - bytes.length;

      it("TCP: the backend sees the client, the client sees what it asked", () => {
        const sport = ++port;
        const bytes = tcp(sport, Tcp.syn);
        const syn = sendOn(bytes);
        assert.deepEqual(shown(syn), [net.client, sport, net.backend, 8080]);
        assert.equal(syn.packet.ttl, 63);
        assert.equal(grown(syn, bytes), net.option);
        assert.equal(syn.tunnel?.vni, tunnel ? (v6 ? 10 : 9) : undefined);
        assert.equal(syn.events[0]?.reason, TraceReason.new);
        const in1 = arrive(syn);
        assert.equal(in1.action, Action.redirect, `reason ${in1.events[0]?.reason}`);
        assert.deepEqual(shown(in1), [net.client, sport, net.backend, 8080]);
        assert.deepEqual([in1.events[0]?.frontend, in1.events[0]?.srcIdentity], [70, CIDR_IDENTITY]);
        const back = saying(sport, Tcp.syn | Tcp.ack);
        assert.equal(back.action, Action.redirect, `reason ${back.events[0]?.reason}`);
        assert.deepEqual(shown(back), [net.node, NODE_PORT, net.client, sport]);
        assert.equal(back.tunnel, undefined, "past the tunnel and the node that was asked");
        const later = tcp(sport, Tcp.ack);
        const more = sendOn(later);
        assert.equal(grown(more, later), 0, "its node has been told");
        assert.deepEqual(shown(more), [net.client, sport, net.backend, 8080]);
        assert.equal(arrive(more).action, Action.redirect);
        assert.deepEqual(shown(saying(sport, Tcp.ack)), [net.node, NODE_PORT, net.client, sport]);
      });

      it("a load balancer's address, which every node has", () => {
        const sport = ++port;
        arrive(sendOn(tcp(sport, Tcp.syn, net.vip, VIP_PORT)));
        assert.deepEqual(shown(saying(sport, Tcp.syn | Tcp.ack)), [net.vip, VIP_PORT, net.client, sport]);
      });

      it("UDP: every datagram says where it was sent, the last one counts", () => {
        const sport = ++port;
        for (const dport of [NODE_PORT, NODE_PORT, OTHER_PORT, NODE_PORT]) {
          const bytes = udp(sport, dport);
          const out = sendOn(bytes);
          assert.equal(grown(out, bytes), net.option);
          assert.equal(arrive(out).action, Action.redirect);
          const back = answer(sport, { kind: "udp", sport: 8080, dport: sport });
          assert.deepEqual(shown(back), [net.node, dport, net.client, sport]);
        }
      });

      it("XDP sends the same as traffic control", () => {
        for (const make of [
          () => tcp(++port, Tcp.syn),
          () => udp(++port),
          () => udp(++port, NODE_PORT, 1301),
        ]) {
          const bytes = make();
          const early = asked.fromWire(bytes);
          const late = sendOn(bytes);
          assert.equal(early.action, XdpAction.tx);
          const inner = late.tunnel ? early.bytes.subarray(WRAPPING) : early.bytes;
          readPacket(inner);
          assert.deepEqual(inner.subarray(ETH), late.bytes.subarray(ETH));
          assert.equal(early.events.length, 1);
        }
        const sport = ++port;
        asked.fromWire(tcp(sport, Tcp.syn));
        const more = asked.fromWire(tcp(sport, Tcp.ack));
        assert.deepEqual(shown({ ...more, packet: readPacket(more.bytes.subarray(tunnel ? WRAPPING : 0)) }), [
          net.client,
          sport,
          net.backend,
          8080,
        ]);
      });

      it("where the option does not fit, the client is told the room there is, in its own terms", () => {
        const room = (tunnel ? 1450 : 1500) - net.option;
        const longest = room - net.ip - 8;
        const sport = ++port;
        assert.equal(asked.fromWire(udp(sport, NODE_PORT, longest + 1)).action, XdpAction.pass);
        const bytes = udp(sport, NODE_PORT, longest + 1);
        const out = asked.fromDevice(bytes);
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
          [net.client, sport, net.node, NODE_PORT],
        );
        const word = new DataView(out.bytes.buffer, out.bytes.byteOffset + ETH + net.ip + 4).getUint32(0);
        assert.equal(word, room);
        const fits = udp(sport, NODE_PORT, longest);
        assert.equal(grown(sendOn(fits), fits), net.option);
        const known = udp(sport, NODE_PORT, longest + 1);
        assert.equal(grown(sendOn(known), known), 0, "its node knows by now");
      });

      it("fragments: the first says it, all arrive", () => {
        const sport = ++port;
        const parts = buildFragments({ ...udpFields(sport, NODE_PORT, 900), id: sport }, 400);
        const sent = parts.map((part) => sendOn(part));
        assert.deepEqual(
          sent.map((out, i) => grown(out, parts[i]!)),
          [net.option, 0, 0],
        );
        for (const out of sent) assert.equal(arrive(out).action, Action.redirect);
        const whole = readFragments(sent.map(({ bytes }) => bytes));
        assert.deepEqual([whole.destination, whole.dport], [net.backend, 8080]);
        const back = answer(sport, { kind: "udp", sport: 8080, dport: sport });
        assert.deepEqual(shown(back), [net.node, NODE_PORT, net.client, sport]);
      });

      it("an error of the backend's shows what the client sent", () => {
        const sport = ++port;
        arrive(sendOn(udp(sport)));
        const about = barePacket({
          from: net.client,
          to: net.backend,
          transport: { kind: "udp", sport, dport: 8080 },
        });
        const transport = { kind: "error", type: v6 ? 1 : 3, code: v6 ? 4 : 3, about } as const;
        const out = answering.fromPod(pod, buildPacket({ from: net.backend, to: net.client, transport }));
        assert.equal(out.action, Action.redirect);
        assert.deepEqual(
          [out.packet.source, out.packet.about?.destination, out.packet.about?.dport],
          [net.node, net.node, NODE_PORT],
        );
      });

      it("a process of the backend's node", () => {
        const sport = ++port;
        const out = sendOn(tcp(sport, Tcp.syn, net.node, HOST_PORT));
        assert.deepEqual(
          [out.packet.source, out.packet.destination, out.tunnel],
          [net.client, net.otherNode, undefined],
        );
        assert.equal(arrive(out).action, Action.pass);
        const flags = Tcp.syn | Tcp.ack;
        const back = answering.toDevice(
          buildPacket({
            from: net.otherNode,
            to: net.client,
            transport: { kind: "tcp", sport: 8080, dport: sport, flags },
          }),
        );
        assert.equal(back.action, Action.pass);
        assert.deepEqual(shown(back), [net.node, HOST_PORT, net.client, sport]);
      });

      it("two services and one client port: the connection in use stays, the other is not begun", () => {
        const sport = ++port;
        arrive(sendOn(tcp(sport, Tcp.syn)));
        saying(sport, Tcp.syn | Tcp.ack);
        const other = arrive(sendOn(tcp(sport, Tcp.syn, net.node, OTHER_PORT)));
        assert.deepEqual(
          [other.action, other.events[0]?.reason],
          [Action.drop, DropReason.noMappingForNatMasquerade],
        );
        assert.deepEqual(shown(saying(sport, Tcp.ack)), [net.node, NODE_PORT, net.client, sport]);
        saying(sport, Tcp.rst);
        assert.equal(arrive(sendOn(tcp(sport, Tcp.syn, net.node, OTHER_PORT))).action, Action.redirect);
        assert.deepEqual(shown(saying(sport, Tcp.syn | Tcp.ack)), [net.node, OTHER_PORT, net.client, sport]);
      });

      it("nobody makes a pod answer for what is no frontend", () => {
        const sent = sendOn(tcp(++port, Tcp.syn));
        const lie = (patch: (bytes: Uint8Array, option: number) => void) => {
          const bytes = sent.bytes.slice();
          patch(bytes, ETH + net.ip);
          if (!v6) {
            bytes.set([0, 0], 24);
            let sum = 0;
            for (let i = ETH; i < ETH + 28; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!;
            sum = ~((sum & 0xffff) + (sum >>> 16)) & 0xffff;
            bytes.set([sum >>> 8, sum & 255], 24);
          }
          const out = arrive({ bytes, tunnel: sent.tunnel });
          return [out.action, out.events[0]?.reason];
        };
        const refused = [Action.drop, DropReason.snatNoMapFound];
        const portAt = v6 ? 4 : 2;
        assert.deepEqual(
          lie((bytes, option) => bytes.set([0, 22], option + portAt)),
          refused,
          "another port",
        );
        assert.deepEqual(
          lie((bytes, option) => bytes.set([9], option + net.option - 1)),
          refused,
          "another address",
        );
        assert.equal(
          lie((bytes, option) => bytes.set([v6 ? 5 : 0x94], option + (v6 ? 2 : 0)))[0],
          Action.redirect,
          "another option",
        );
      });

      it("a connection is answered as it began, whatever the service is told meanwhile", () => {
        const service = (flags: number) =>
          asked.service({
            id: 40,
            address: net.node,
            port: 30_090,
            proto: Proto.udp,
            type: "NodePort",
            flags,
            backends: [{ id: 400, address: net.backend, port: 8080 }],
          });
        const [first, second] = [++port, ++port];
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
