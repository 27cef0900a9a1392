// SPDX-License-Identifier: Apache-2.0
/** Services without backends: who asks is told, by a reset or ICMP; what a traffic policy keeps from backends elsewhere is silent. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { DropReason, LbFlag, LbScope } from "#datapath/layouts/enums.ts";
import { Action, at, type PodFields, TestNode } from "#kit/datapath.ts";
import { buildPacket, type PacketFields, Proto, readPacket, Tcp } from "#kit/packet.ts";

const families = {
  v4: { pod: "10.0.1.2", other: "10.0.1.3", vip: "10.96.0.10", client: "198.51.100.9" },
  v6: { pod: "fd00:10:0:1::2", other: "fd00:10:0:1::3", vip: "fd00:96::10", client: "2001:db8:9::9" },
} as const;

/** Sequence, acknowledgement and flags of a TCP segment in a frame. */
function tcpOf(bytes: Uint8Array, v6: boolean) {
  const view = new DataView(bytes.buffer, bytes.byteOffset + 14 + (v6 ? 40 : 20));
  return { seq: view.getUint32(4), ack: view.getUint32(8), flags: view.getUint8(13) };
}

for (const name of ["v4", "v6"] as const) {
  const v6 = name === "v6";
  const net = { ...families[name], ...at[name] };

  describe(`nobody answers, ${name}`, () => {
    let node: TestNode;
    let pod: PodFields;
    let port = 20_000;
    const empty = (fields: { id: number; address: string; proto: number; port: number; flags?: number }) =>
      node.service({ type: fields.address === net.node ? "NodePort" : "ClusterIP", backends: [], ...fields });

    before(() => {
      node = TestNode.create(`refuse${name}`, { routing: "tunnel" });
      pod = node.pod({ id: 1, [name]: net.pod, identity: 1001 });
      node.pod({ id: 2, [name]: net.other, identity: 1002 });
      for (const [id, proto] of [
        [1, Proto.tcp],
        [2, Proto.udp],
      ] as const) {
        empty({ id, address: net.vip, proto, port: 80 });
        empty({ id: 10 + id, address: net.node, proto, port: 30_080 });
        empty({ id: 20 + id, address: net.node, proto, port: 30_081, flags: LbFlag.localOutside });
        const elsewhere = { address: net.node, proto, port: 30_081, scope: LbScope.local, backends: [] };
        node.service({ id: 30 + id, type: "NodePort", flags: LbFlag.elsewhere, ...elsewhere });
      }
    });
    after(() => node[Symbol.dispose]());

    const ways = {
      "a pod": {
        from: net.pod,
        to: net.vip,
        dport: 80,
        send: (bytes: Uint8Array) => node.fromPod(pod, bytes),
      },
      "the outside": {
        from: net.client,
        to: net.node,
        dport: 30_080,
        send: (bytes: Uint8Array) => node.fromDevice(bytes),
      },
    };

    for (const [who, { from, to, dport, send }] of Object.entries(ways)) {
      it(`answers a SYN of ${who} with a reset`, () => {
        const sport = ++port;
        const sent = buildPacket({ from, to, transport: { kind: "tcp", sport, dport, flags: Tcp.syn } });
        const { seq } = tcpOf(sent, v6);
        const out = send(sent);
        assert.equal(out.action, Action.redirect);
        assert.deepEqual(
          [out.packet.source, out.packet.sport, out.packet.destination, out.packet.dport, out.packet.ttl],
          [to, dport, from, sport, 64],
        );
        assert.deepEqual(tcpOf(out.bytes, v6), { seq: 0, ack: (seq + 1) >>> 0, flags: Tcp.rst | Tcp.ack });
        const [was, is] = [readPacket(sent), out.packet];
        assert.deepEqual([is.sourceMac, is.destinationMac], [was.destinationMac, was.sourceMac]);
        assert.equal(out.events[0]?.reason, DropReason.serviceBackendNotFound);
      });

      it(`answers the middle of a connection of ${who} where it stands, and no reset`, () => {
        const sport = ++port;
        const segment = (flags: number): PacketFields => ({
          from,
          to,
          transport: { kind: "tcp", sport, dport, flags },
          payload: Uint8Array.from({ length: 33 }, (_, i) => i),
        });
        const sent = buildPacket(segment(Tcp.ack));
        const out = send(sent);
        assert.deepEqual(tcpOf(out.bytes, v6), { seq: tcpOf(sent, v6).ack, ack: 0, flags: Tcp.rst });
        assert.equal(out.packet.destination, from);
        assert.equal(send(buildPacket(segment(Tcp.rst))).action, Action.drop);
      });

      it(`answers a datagram of ${who} with "port unreachable"`, () => {
        const sport = ++port;
        for (const length of [0, 3, 900]) {
          const fields = {
            from,
            to,
            transport: { kind: "udp", sport, dport } as const,
            payload: Uint8Array.from({ length }, (_, i) => i & 255),
          };
          const out = send(buildPacket(fields));
          assert.equal(out.action, Action.redirect);
          const { packet } = out;
          assert.deepEqual(
            [packet.source, packet.destination, packet.type, packet.code],
            [to, from, v6 ? 1 : 3, v6 ? 4 : 3],
          );
          const about = headOf(packet.about);
          assert.deepEqual(about, [from, sport, to, dport]);
          assert.equal(out.bytes.length, 14 + (v6 ? 40 + 8 + 48 : 20 + 8 + 28));
          assert.equal(out.events[0]?.reason, DropReason.serviceBackendNotFound);
        }
      });
    }

    it("is silent where the backends are another node's and the policy is Local", () => {
      for (const kind of ["tcp", "udp"] as const) {
        const transport = { kind, sport: ++port, dport: 30_081, flags: Tcp.syn } as const;
        const out = node.fromDevice(buildPacket({ from: net.client, to: net.node, transport }));
        assert.equal(out.action, Action.drop);
        assert.equal(out.events[0]?.reason, DropReason.noMatchingLocalContainerFound);
      }
    });

    it("answers nobody who only pretends to be of this node", () => {
      const transport = { kind: "tcp", sport: ++port, dport: 30_080, flags: Tcp.syn } as const;
      const out = node.fromDevice(buildPacket({ from: net.other, to: net.node, transport }));
      assert.equal(out.action, Action.drop);
      assert.equal(out.events[0]?.reason, DropReason.invalidSourceIp);
    });

    it("keeps loopback frontends to the node's own processes", () => {
      const loopback = v6 ? "::1" : "127.0.0.1";
      const backends = [{ id: 400, address: net.pod, port: 8080 }];
      node.service({
        id: 40,
        address: loopback,
        port: 30_082,
        proto: Proto.tcp,
        flags: LbFlag.hostOnly,
        backends,
      });
      const to = (from: string) =>
        buildPacket({
          from,
          to: loopback,
          transport: { kind: "tcp", sport: ++port, dport: 30_082, flags: Tcp.syn },
        });
      assert.notEqual(node.fromPod(pod, to(net.pod)).packet.destination, net.pod);
      assert.equal(node.fromDevice(to(net.client)).action, Action.drop);
    });

    it("drops without a word when the node is told so", () => {
      using quiet = TestNode.create(`quiet${name}`, { routing: "tunnel", config: { flags: 3 } });
      const from = quiet.pod({ id: 1, [name]: net.pod, identity: 1001 });
      quiet.service({ id: 1, address: net.vip, proto: Proto.tcp, port: 80, backends: [] });
      const transport = { kind: "tcp", sport: ++port, dport: 80, flags: Tcp.syn } as const;
      const out = quiet.fromPod(from, buildPacket({ from: net.pod, to: net.vip, transport }));
      assert.equal(out.action, Action.drop);
      assert.equal(out.events[0]?.reason, DropReason.serviceBackendNotFound);
      const own = quiet.toDevice(buildPacket({ from: net.node, to: net.vip, transport }));
      assert.equal(own.action, Action.drop, "of the node itself, which the socket hook let pass");
      const served = { id: 1, address: at[name].otherNode, port: 8080 };
      quiet.service({ id: 1, address: net.vip, proto: Proto.tcp, port: 80, backends: [served] });
      const passed = quiet.toDevice(buildPacket({ from: net.node, to: net.vip, transport }));
      assert.equal(passed.action, Action.pass);
    });
  });
}

type About = NonNullable<ReturnType<typeof readPacket>["about"]>;
function headOf(about: About | undefined) {
  return about && [about.source, about.sport, about.destination, about.dport];
}
