// SPDX-License-Identifier: Apache-2.0
/** XDP and traffic control are one balancer: whatever the frame, XDP leaves it as it is or does what traffic control would have done. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { LbFlag } from "#datapath/layouts/enums.ts";
import { Action, at, TestNode, XdpAction } from "#kit/datapath.ts";
import { buildFragments, buildPacket, type PacketFields, Proto, readPacket, Tcp } from "#kit/packet.ts";
import fc from "#kit/property.ts";

const families = {
  v4: { remote: "10.0.2.5", pod: "10.0.1.2", bits: "/32", client: "198.51.100.9" },
  v6: { remote: "fd00:10:0:2::5", pod: "fd00:10:0:1::2", bits: "/128", client: "2001:db8:9::9" },
} as const;

const REMOTE = 30_080;
const LOCAL = 30_081;
const ETH = 14;
const WRAPPING = 50;

for (const routing of ["native", "tunnel"] as const) {
  describe(`XDP beside traffic control, ${routing}`, () => {
    let node: TestNode;
    const seeds: Uint8Array[] = [];

    before(() => {
      node = TestNode.create(`same${routing}`, { routing, xdp: true });
      for (const name of ["v4", "v6"] as const) {
        const net = { ...families[name], ...at[name] };
        node.identify(net.remote + net.bits, 2005, routing === "tunnel" ? at.v4.otherNode : undefined);
        node.pod({ id: name === "v4" ? 1 : 2, [name]: net.pod, identity: 1001 });
        for (const proto of [Proto.tcp, Proto.udp])
          for (const [port, address] of [
            [REMOTE, net.remote],
            [LOCAL, net.pod],
          ] as const) {
            const id = port * 100 + proto * 2 + (name === "v6" ? 1 : 0);
            const backends = [{ id, address, port: 8080 }];
            const type = "NodePort" as const;
            node.service({ id, address: net.node, port, proto, type, flags: LbFlag.external, backends });
          }
        seeds.push(...seedsOf(node, name));
      }
    });
    after(() => node[Symbol.dispose]());

    it("they give the same packet", { timeout: 60_000 }, () => {
      let sent = 0;
      const frames = fc
        .record({
          seed: fc.nat({ max: seeds.length - 1 }),
          edits: fc.array(fc.tuple(fc.nat({ max: 70 }), fc.nat({ max: 255 })), { maxLength: 3 }),
          cut: fc.option(fc.integer({ min: 34, max: 130 }), { freq: 5 }),
        })
        .map(({ seed, edits, cut }) => {
          const whole = seeds[seed]!;
          const bytes = whole.slice(0, Math.max(cut ?? whole.length, whole[12] === 8 ? 34 : 54));
          for (const [offset, value] of edits) if (ETH + offset < bytes.length) bytes[ETH + offset] = value;
          return bytes;
        });
      fc.assert(
        fc.property(frames, (bytes) => {
          const early = node.fromWire(bytes);
          if (early.action === XdpAction.pass) {
            assert.deepEqual(early.bytes, bytes, "what it leaves is as it came");
            return;
          }
          const late = node.fromDevice(bytes);
          if (early.action === XdpAction.drop) {
            assert.equal(late.action, Action.drop);
            return;
          }
          assert.deepEqual([early.action, late.action], [XdpAction.tx, Action.redirect]);
          const inner = late.tunnel ? early.bytes.subarray(WRAPPING) : early.bytes;
          assert.deepEqual(inner.subarray(ETH), late.bytes.subarray(ETH));
          if (late.tunnel)
            assert.equal(
              new DataView(early.bytes.buffer, early.bytes.byteOffset).getUint32(46) >>> 8,
              late.tunnel.vni,
            );
          sent++;
        }),
        { numRuns: 3000 },
      );
      assert.ok(sent > 300, `${sent} frames went out at XDP`);
    });
  });
}

/** To a remote and a local backend by every transport, fragments, and answers of the remote one. */
function seedsOf(node: TestNode, name: "v4" | "v6"): Uint8Array[] {
  const net = { ...families[name], ...at[name] };
  const payload = Uint8Array.from({ length: 33 }, (_, i) => i);
  const to = (transport: PacketFields["transport"], more: Partial<PacketFields> = {}): PacketFields => ({
    from: net.client,
    to: net.node,
    transport,
    payload,
    ...more,
  });
  const requests = [REMOTE, LOCAL].flatMap((dport) => [
    to({ kind: "tcp", sport: 1000, dport, flags: Tcp.syn }),
    to({ kind: "tcp", sport: 1001, dport, flags: Tcp.ack }),
    to({ kind: "tcp", sport: 1002, dport, flags: Tcp.fin | Tcp.ack }),
    to({ kind: "udp", sport: 1003, dport }),
    to({ kind: "udp", sport: 1004, dport, checksum: name === "v6" }),
    to({ kind: "udp", sport: 1005, dport }, { extensions: name === "v6" ? 2 : 0 }),
  ]);
  const fragments = buildFragments(
    to({ kind: "udp", sport: 1006, dport: REMOTE }, { payload: new Uint8Array(200) }),
    80,
  );
  const asked = readPacket(
    node.fromDevice(buildPacket(to({ kind: "udp", sport: 1007, dport: REMOTE }))).bytes,
  );
  const answer = buildPacket({
    from: net.remote,
    to: asked.source,
    transport: { kind: "udp", sport: 8080, dport: asked.sport },
    payload,
  });
  return [...requests.map(buildPacket), ...fragments, answer];
}
