// SPDX-License-Identifier: Apache-2.0
/** A way that carries less than the device: whoever sends too much at a time is told so, in its own terms, by the node between. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ConfigFlag, DropReason, LbFlag, TraceReason } from "#datapath/layouts/enums.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { setLink } from "#kernel/netlink/link.ts";
import { Action, at, type Outcome, type PodFields, TestNode } from "#kit/datapath.ts";
import { buildPacket, Proto, Tcp } from "#kit/packet.ts";

const families = {
  v4: {
    backend: "10.0.2.5",
    own: "10.0.1.7",
    client: "198.51.100.9",
    router: "192.168.1.254",
    bits: "/32",
    ip: 20,
    option: 8,
    geneve: 28,
    tooBig: [3, 4],
    unreachable: [3, 1],
  },
  v6: {
    backend: "fd00:10:0:2::5",
    own: "fd00:10:0:1::7",
    client: "2001:db8:9::9",
    router: "fd00:1::fe",
    bits: "/128",
    ip: 40,
    option: 24,
    geneve: 40,
    tooBig: [2, 0],
    unreachable: [1, 3],
  },
} as const;
const ETH = 14;
const NODE_PORT = 30_080;
/** What the narrow way carries. */
const MTU = 1400;

/** What an ICMP error says of the way, and how much of the packet it is about. */
const told = ({ packet, bytes }: Outcome, ip: number) => [
  packet.type,
  packet.code,
  new DataView(bytes.buffer, bytes.byteOffset).getUint32(ETH + ip + 4),
];
const ends = (packet: Outcome["packet"] | Outcome["packet"]["about"]) => [
  packet?.source,
  packet?.sport,
  packet?.destination,
  packet?.dport,
];

/** The device that the routes lead to carries less than the one that the node is configured for. */
function narrow(node: TestNode): void {
  using netlink = openNetlink({ netns: node.netns });
  setLink(netlink, node.deviceIfindex, { mtu: MTU });
}

const wrappings = [
  { how: "IP in IP", flag: ConfigFlag.dsrIpip, name: "v4", underlay: "v4" },
  { how: "IP in IP", flag: ConfigFlag.dsrIpip, name: "v6", underlay: "v6" },
  { how: "Geneve", flag: ConfigFlag.dsrGeneve, name: "v4", underlay: "v4" },
  { how: "Geneve", flag: ConfigFlag.dsrGeneve, name: "v6", underlay: "v6" },
  { how: "Geneve", flag: ConfigFlag.dsrGeneve, name: "v6", underlay: "v4" },
  { how: "Geneve", flag: ConfigFlag.dsrGeneve, name: "v4", underlay: "v6" },
] as const;

for (const { how, flag, name, underlay } of wrappings) {
  const net = { ...families[name], ...at[name] };
  const under = { ...families[underlay], ...at[underlay] };
  const added = how === "Geneve" ? under.ip + net.geneve : net.ip;

  describe(`direct server return by ${how}, ${name}, ${underlay} nodes`, () => {
    let asked: TestNode;
    let port = 20_000;

    before(() => {
      const title = `mtu${how.slice(0, 1)}${name}${underlay}`;
      asked = TestNode.create(title, { routing: "native", flags: flag });
      asked.identify(net.backend + net.bits, 2005, how === "Geneve" ? under.otherNode : undefined);
      for (const proto of [Proto.tcp, Proto.udp])
        asked.service({
          id: 20 + proto,
          proto,
          type: "NodePort",
          address: net.node,
          port: NODE_PORT,
          flags: LbFlag.dsr,
          backends: [{ id: 200 + proto, address: net.backend, port: 8080 }],
        });
    });
    after(() => asked[Symbol.dispose]());

    const udp = (sport: number, size: number) =>
      buildPacket({
        from: net.client,
        to: net.node,
        transport: { kind: "udp", sport, dport: NODE_PORT },
        payload: new Uint8Array(size),
      });
    const tcp = (sport: number, flags: number) =>
      buildPacket({
        from: net.client,
        to: net.node,
        transport: { kind: "tcp", sport, dport: NODE_PORT, flags },
        payload: new Uint8Array(1200),
      });
    /** Of a router between the nodes, about what the asked node sent: as much of it as routers give. */
    const error = (
      sent: Pick<Outcome, "bytes">,
      [type, code]: readonly [number, number],
      word = 0,
      most = 540,
    ) =>
      buildPacket({
        from: under.router,
        to: under.node,
        transport: { kind: "error", type, code, word, about: sent.bytes.subarray(ETH, ETH + most) },
      });
    const routerSays = (...about: Parameters<typeof error>) => asked.fromDevice(error(...about));

    it("a router's \"too big\" about the headers around becomes one about the client's own packet", () => {
      for (const bytes of [tcp(++port, Tcp.syn), udp(++port, 1360)]) {
        const sent = asked.fromDevice(bytes);
        assert.equal(sent.action, Action.redirect, `reason ${sent.events[0]?.reason}`);
        assert.equal(sent.bytes.length, bytes.length + added);
        const out = routerSays(sent, under.tooBig, MTU);
        assert.equal(out.action, Action.redirect, `reason ${out.events.map((e) => e.reason)}`);
        assert.deepEqual(told(out, net.ip), [...net.tooBig, MTU - added]);
        assert.deepEqual([out.packet.source, out.packet.destination], [net.node, net.client]);
        const sport = out.packet.about?.sport;
        assert.ok(sport === port || sport === port - 1);
        assert.deepEqual(ends(out.packet.about), [net.client, sport, net.node, NODE_PORT]);
        const [event] = out.events;
        assert.deepEqual([event?.saddr, event?.daddr], [net.node, net.client]);
        assert.equal(event?.reason, TraceReason.established);
      }
    });

    it("of what is unreachable between the nodes the client hears that the host is", () => {
      const sent = asked.fromDevice(tcp(++port, Tcp.syn));
      const kinds =
        underlay === "v4"
          ? ([
              [3, 0],
              [3, 13],
              [11, 0],
            ] as const)
          : ([
              [1, 0],
              [1, 1],
              [3, 0],
            ] as const);
      for (const kind of kinds) {
        const out = routerSays(sent, kind);
        assert.deepEqual(told(out, net.ip), [...net.unreachable, 0]);
        assert.deepEqual(ends(out.packet.about), [net.client, port, net.node, NODE_PORT]);
      }
    });

    it("errors about connections nobody has, or too short to say which, are the stack's", () => {
      const sent = asked.fromDevice(tcp(++port, Tcp.syn));
      const untouched = (bytes: Uint8Array) => {
        const out = asked.fromDevice(bytes);
        assert.equal(out.action, Action.pass);
        assert.deepEqual(out.bytes, bytes);
      };
      const changed = (off: number) => {
        const bytes = sent.bytes.slice();
        bytes[off]! ^= 0x40;
        return error({ bytes }, under.tooBig, MTU);
      };
      untouched(error(sent, under.tooBig, MTU, under.ip + 8));
      untouched(changed(ETH + added + net.ip + 1));
      untouched(changed(ETH + (underlay === "v4" ? 15 : 23)));
    });

    it("a route narrower than the device: the client is told the room inside", () => {
      narrow(asked);
      const longest = MTU - added - net.ip - 8;
      const sport = ++port;
      const out = asked.fromDevice(udp(sport, longest + 1));
      assert.equal(out.action, Action.redirect, `reason ${out.events.map((e) => e.reason)}`);
      assert.deepEqual(told(out, net.ip), [...net.tooBig, MTU - added]);
      assert.deepEqual([out.packet.source, out.packet.destination], [net.node, net.client]);
      assert.deepEqual(ends(out.packet.about), [net.client, sport, net.node, NODE_PORT]);
      assert.equal(out.events.at(-1)?.reason, DropReason.ipFragmentationNotSupported);
      assert.equal(asked.fromDevice(udp(sport, longest)).bytes.length, ETH + MTU);
    });
  });
}

for (const name of ["v4", "v6"] as const) {
  const net = { ...families[name], ...at[name] };

  describe(`a way narrower than the device, ${name}`, () => {
    const nodes: Record<string, TestNode> = {};
    let port = 20_000;
    let id = 20;

    before(() => {
      for (const routing of ["native", "tunnel"] as const) {
        const node = TestNode.create(`way${routing}${name}`, { routing });
        nodes[routing] = node;
        node.identify(net.backend + net.bits, 2005, routing === "tunnel" ? at.v4.otherNode : undefined);
        narrow(node);
      }
    });
    after(() => {
      for (const node of Object.values(nodes)) node[Symbol.dispose]();
    });

    /** A service of its own: its port. */
    const serve = (node: TestNode, backend: string, flags = 0): number => {
      const frontend = ++id;
      node.service({
        id: frontend,
        proto: Proto.udp,
        type: "NodePort",
        address: net.node,
        port: NODE_PORT + frontend,
        flags,
        backends: [{ id: 200 + frontend, address: backend, port: 8080 }],
      });
      return NODE_PORT + frontend;
    };
    const ask = (node: TestNode, dport: number, sport: number, size = 3) =>
      node.fromDevice(
        buildPacket({
          from: net.client,
          to: net.node,
          transport: { kind: "udp", sport, dport },
          payload: new Uint8Array(size),
        }),
      );
    const isTold = (out: Outcome, mtu: number) => {
      assert.equal(out.action, Action.redirect, `reason ${out.events.at(-1)?.reason}`);
      assert.deepEqual(told(out, net.ip), [...net.tooBig, mtu]);
      assert.equal(out.events.at(-1)?.reason, DropReason.ipFragmentationNotSupported);
    };

    for (const [title, flags, added] of [
      ["source translation", 0, 0],
      ["direct server return by option", LbFlag.dsr, net.option],
    ] as const)
      it(`to the backend, ${title}: the client is told, of the frontend`, () => {
        const node = nodes.native!;
        const dport = serve(node, net.backend, flags);
        const longest = MTU - added - net.ip - 8;
        const sport = ++port;
        const out = ask(node, dport, sport, longest + 1);
        isTold(out, MTU - added);
        assert.deepEqual([out.packet.source, out.packet.destination], [net.node, net.client]);
        assert.deepEqual(ends(out.packet.about), [net.client, sport, net.node, dport]);
        for (let i = 0; i < 3; i++)
          assert.equal(ask(node, dport, sport, longest).bytes.length, ETH + MTU, "a known flow, too");
        isTold(ask(node, dport, sport, MTU - net.ip - 7), MTU - added);
      });

    for (const routing of ["native", "tunnel"] as const)
      it(`an answer of another node's backend, ${routing}: the backend is told, of the node it answers`, () => {
        const node = nodes[routing]!;
        const dport = serve(node, net.backend);
        const sport = ++port;
        const asked = ask(node, dport, sport).packet;
        const answer = (size: number) => {
          const bytes = buildPacket({
            from: net.backend,
            to: asked.source,
            transport: { kind: "udp", sport: 8080, dport: asked.sport },
            payload: new Uint8Array(size),
          });
          return routing === "tunnel" ? node.fromOverlay(bytes, 2005) : node.fromDevice(bytes);
        };
        const longest = MTU - net.ip - 8;
        const out = answer(longest + 1);
        isTold(out, MTU);
        assert.deepEqual([out.packet.source, out.packet.destination], [asked.source, net.backend]);
        assert.deepEqual(ends(out.packet.about), [net.backend, 8080, asked.source, asked.sport]);
        assert.deepEqual(out.tunnel?.vni, routing === "tunnel" ? 6 : undefined);
        assert.deepEqual(ends(answer(longest).packet), [net.node, dport, net.client, sport]);
      });

    it("an answer of a pod here: the pod is told, of the client it answers, at the port it knows", () => {
      const node = nodes.native!;
      const pod: PodFields = node.pod({ id: 1, [name]: net.own, identity: 3001 });
      const dport = serve(node, net.own);
      const sport = ++port;
      const transport = { kind: "udp", sport, dport: 8080 } as const;
      assert.equal(
        node.fromDevice(buildPacket({ from: net.client, to: net.own, transport })).action,
        Action.redirect,
      );
      const asked = ask(node, dport, sport).packet;
      assert.notEqual(asked.sport, sport, "beside a connection to the pod itself");
      const answer = (size: number) =>
        node.fromPod(
          pod,
          buildPacket({
            from: net.own,
            to: net.client,
            transport: { kind: "udp", sport: 8080, dport: asked.sport },
            payload: new Uint8Array(size),
          }),
        );
      const longest = MTU - net.ip - 8;
      const out = answer(longest + 1);
      isTold(out, MTU);
      assert.deepEqual([out.packet.source, out.packet.destination], [net.client, net.own]);
      assert.deepEqual(ends(out.packet.about), [net.own, 8080, net.client, asked.sport]);
      assert.deepEqual(ends(answer(longest).packet), [net.node, dport, net.client, sport]);
    });
  });
}
