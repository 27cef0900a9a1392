// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "#kit/property.ts";
import { decodeEchoReply, encodeEcho, internetChecksum } from "./icmp.ts";

const u16 = fc.nat(0xffff);

test("an echo request answered by its copy is read back; IPv4 carries a right checksum", () => {
  fc.assert(
    fc.property(fc.constantFrom(4 as const, 6 as const), u16, u16, (family, id, sequence) => {
      const request = encodeEcho(family, id, sequence);
      if (family === 4) assert.equal(internetChecksum(request), 0);
      assert.equal(decodeEchoReply(family, withHeader(family, request)), undefined, "a request is no reply");
      request[0] = family === 4 ? 0 : 129;
      assert.deepEqual(decodeEchoReply(family, withHeader(family, request)), { id, sequence });
    }),
  );
});

test("whatever bytes come, reading a reply ends without an error", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(4 as const, 6 as const),
      fc.uint8Array({ maxLength: 80 }),
      (family, bytes) => {
        decodeEchoReply(family, bytes);
      },
    ),
  );
});

test("the checksum is RFC 1071's example", () => {
  assert.equal(internetChecksum(Uint8Array.of(0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7)), ~0xddf2 & 0xffff);
});

/** Raw IPv4 sockets deliver the IP header too; 24 bytes: one with options. */
function withHeader(family: 4 | 6, packet: Uint8Array): Uint8Array {
  if (family === 6) return packet;
  const out = new Uint8Array(24 + packet.length);
  out[0] = 0x46;
  out.set(packet, 24);
  return out;
}
