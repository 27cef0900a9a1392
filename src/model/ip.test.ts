// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "#kit/property.ts";
import {
  addressBytes,
  addressFromBytes,
  contains,
  isAddress,
  nthAddress,
  parseAddress,
  parsePrefix,
  prefixAddress,
  prefixBits,
  prefixBits128,
} from "./ip.ts";

const bytes16 = fc.uint8Array({ minLength: 16, maxLength: 16 });
const bytes4 = fc.uint8Array({ minLength: 4, maxLength: 4 });

test("an address has one text", () => {
  assert.equal(parseAddress("FD00:0:0::1"), "fd00::1");
  assert.equal(parseAddress("::ffff:10.0.0.1"), "10.0.0.1");
  assert.ok(isAddress("10.0.0.1"));
  assert.ok(!isAddress("FD00::1"));
});

for (const bad of [
  "",
  "10.0.0",
  "10.0.0.256",
  "10.0.0.1/8",
  "0x7f000001",
  "1",
  "fe80::1%eth0",
  "::g",
  "10.0.0.01 ",
]) {
  test(`"${bad}" is not an address`, () => assert.throws(() => parseAddress(bad), { code: "E_ADDRESS" }));
}

for (const bad of ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/x", "/8", "fd00::/129"]) {
  test(`"${bad}" is not a prefix`, () => assert.throws(() => parsePrefix(bad), { code: "E_PREFIX" }));
}

test("16 bytes and back give the same address", () => {
  fc.assert(
    fc.property(fc.oneof(bytes16, bytes4), (raw) => {
      const bytes =
        raw.length === 16 ? raw : Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...raw]);
      const address = addressFromBytes(bytes);
      assert.deepEqual([...addressBytes(address)], [...bytes]);
      assert.equal(parseAddress(address), address);
    }),
  );
});

test("a prefix contains what shares its leading bits", () => {
  fc.assert(
    fc.property(bytes4, bytes4, fc.integer({ min: 0, max: 32 }), (a, b, bits) => {
      const prefix = parsePrefix(`${a.join(".")}/${bits}`);
      const number = (raw: Uint8Array) => new DataView(raw.buffer, raw.byteOffset).getUint32(0);
      const same = bits === 0 || number(a) >>> (32 - bits) === number(b) >>> (32 - bits);
      assert.equal(contains(prefix, parseAddress(b.join("."))), same);
      assert.equal(prefixBits128(prefix), bits + 96);
    }),
  );
  assert.ok(contains(parsePrefix("10.0.0.0/8"), parsePrefix("10.1.0.0/16")));
  assert.ok(!contains(parsePrefix("10.1.0.0/16"), parsePrefix("10.0.0.0/8")));
  assert.ok(!contains(parsePrefix("::/0"), parseAddress("10.0.0.1")));
});

test("addresses of a prefix are counted from its first", () => {
  assert.equal(nthAddress(parsePrefix("10.244.1.0/24"), 1), "10.244.1.1");
  assert.equal(nthAddress(parsePrefix("fd00::/64"), 65536), "fd00::1:0");
  assert.throws(() => nthAddress(parsePrefix("10.244.1.0/24"), 256), { code: "E_PREFIX" });
  assert.equal(prefixAddress(parsePrefix("10.9.8.7/16")), "10.9.0.0");
  assert.equal(prefixBits(parsePrefix("10.9.8.7/16")), 16);
});
