// SPDX-License-Identifier: Apache-2.0
/** Frames nobody would send: whatever a pod makes up, it does not get out under another's address. */
import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { Action, at, TestNode } from "#kit/datapath.ts";
import { buildPacket, Tcp } from "#kit/packet.ts";
import fc from "#kit/property.ts";

const POD = { v4: "10.0.1.2", v6: "fd00:10:0:1::2" } as const;
const wire = { v4: [10, 0, 1, 2], v6: [0xfd, 0, 0, 0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2] } as const;

let node: TestNode;
let pod: ReturnType<TestNode["pod"]>;

before(() => {
  node = TestNode.create("fuzz", { routing: "tunnel" });
  pod = node.pod({ id: 1, ...POD, identity: 1001 });
  node.pod({ id: 2, v4: "10.0.1.3", v6: "fd00:10:0:1::3", identity: 1002 });
});
after(() => node[Symbol.dispose]());

const seeds = [
  [POD.v4, "10.0.1.3", at.v4.world],
  [POD.v6, "fd00:10:0:1::3", at.v6.world],
].flatMap(([from, to, world]) => [
  buildPacket({ from: from!, to: to!, transport: { kind: "tcp", sport: 1, dport: 2, flags: Tcp.syn } }),
  buildPacket({ from: from!, to: world!, transport: { kind: "udp", sport: 1, dport: 2 } }),
  buildPacket({
    from: from!,
    to: to!,
    transport: { kind: "icmp", type: 3, code: 1 },
    payload: new Uint8Array(60),
  }),
  buildPacket({
    from: from!,
    to: to!,
    transport: { kind: "icmp", type: 1, code: 1 },
    payload: new Uint8Array(60),
  }),
  buildPacket({ from: from!, to: to!, transport: { kind: "raw", proto: 99 }, extensions: 2 }),
]);

/** A seed with some bytes behind the Ethernet header changed, and perhaps cut. */
const frames = fc
  .record({
    seed: fc.constantFrom(...seeds),
    edits: fc.array(fc.tuple(fc.nat({ max: 110 }), fc.nat({ max: 255 })), { maxLength: 8 }),
    cut: fc.option(fc.integer({ min: 54, max: 130 })),
  })
  .map(({ seed, edits, cut }) => {
    const bytes = seed.slice(0, Math.max(cut ?? seed.length, seed[12] === 8 ? 34 : 54));
    for (const [offset, value] of edits) if (14 + offset < bytes.length) bytes[14 + offset] = value;
    return bytes;
  });

function sourceIsOwn(bytes: Uint8Array): boolean {
  const [own, offset] = bytes[12] === 8 ? [wire.v4, 26] : [wire.v6, 22];
  return own.every((byte, i) => bytes[offset + i] === byte);
}

/** Neighbour discovery has no address yet, or a link-local one; it must stay on the link. */
function staysOnLink(bytes: Uint8Array): boolean {
  return bytes[12] !== 8 && (bytes[38] === 0xff || (bytes[38] === 0xfe && (bytes[39]! & 0xc0) === 0x80));
}

it("a pod's frames leave under its own address or not at all", { timeout: 60_000 }, () => {
  fc.assert(
    fc.property(frames, (bytes) => {
      const context = { ifindex: node.podIfindex(pod) };
      const { action } = node.run("from_pod", bytes, context);
      assert.ok(
        action === Action.pass || action === Action.drop || action === Action.redirect,
        `action ${action}`,
      );
      if (action !== Action.drop) assert.ok(sourceIsOwn(bytes) || staysOnLink(bytes));
    }),
    { numRuns: 3000 },
  );
});

it("other hooks take any frame", { timeout: 60_000 }, () => {
  const programs = fc.constantFrom("to_pod", "from_device", "to_device", "from_overlay", "to_overlay");
  fc.assert(
    fc.property(programs, frames, fc.constantFrom(0, 1, 2005), (program, bytes, vni) => {
      const { action } = node.run(program, bytes, { ifindex: node.podIfindex(pod), vni });
      assert.ok(
        action === Action.pass || action === Action.drop || action === Action.redirect,
        `action ${action}`,
      );
    }),
    { numRuns: 3000 },
  );
});
