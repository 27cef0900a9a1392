// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import ipaddr from "ipaddr.js";
import fc from "#kit/property.ts";
import { addressBytes, addressFromBytes, parseAddress } from "#model/ip.ts";

/** Sixteen bytes with the runs of zeros that make IPv6 text hard. */
const bytes = fc
  .array(fc.constantFrom(0, 0, 0, 1, 0xff, 0x10, 0xabcd), { minLength: 8, maxLength: 8 })
  .map((words) => Uint8Array.from(words.flatMap((word) => [word >> 8, word & 255])));

test("an address is written as RFC 5952 has it, and reads back", () => {
  fc.assert(
    fc.property(bytes, (raw) => {
      const text = addressFromBytes(raw);
      assert.equal(text, ipaddr.process(ipaddr.fromByteArray([...raw]).toString()).toString());
      assert.equal(parseAddress(text), text);
      assert.deepEqual(addressBytes(text), raw);
    }),
    { numRuns: 3000 },
  );
});

test("examples of RFC 5952", () => {
  for (const [raw, text] of [
    ["20010db8000000000001000000000001", "2001:db8::1:0:0:1"],
    ["20010db8000000010001000100010001", "2001:db8:0:1:1:1:1:1"],
    ["00000000000000000000000000000000", "::"],
    ["00000000000000000000000000000001", "::1"],
    ["fe800000000000000000000000000000", "fe80::"],
    ["00000000000000000000ffff0a000001", "10.0.0.1"],
  ] as const) {
    assert.equal(addressFromBytes(Buffer.from(raw, "hex")), text);
  }
});
