// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "#kit/property.ts";
import { WeftError } from "#lib/errors.ts";
import {
  decodeAttributes,
  decodeMessages,
  encodeMessage,
  MessageWriter,
  nestedOf,
  numberOf,
  textOf,
} from "./codec.ts";

const type = fc.integer({ min: 0, max: 0x3fff });
const value = fc.uint8Array({ maxLength: 300 });
const u32 = fc.integer({ min: 0, max: 0xffffffff });

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(
    Buffer.concat(parts.map((part) => Buffer.concat([part, Buffer.alloc(-part.length & 3)]))),
  );
}

test("attributes come back as they were written; of two the last counts", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(type, value)), (attributes) => {
      const writer = new MessageWriter();
      for (const [kind, bytes] of attributes) writer.attribute(kind, bytes);
      const encoded = writer.finish();
      assert.equal(encoded.length % 4, 0);
      const decoded = decodeAttributes(encoded);
      assert.deepEqual(
        new Map(Array.from(decoded, ([kind, bytes]) => [kind, [...bytes]])),
        new Map(attributes.map(([kind, bytes]) => [kind, [...bytes]])),
      );
    }),
  );
});

test("numbers, texts and nested attributes come back", () => {
  const text = fc.string({ unit: "grapheme", maxLength: 40 }).filter((at) => !at.includes("\0"));
  fc.assert(
    fc.property(u32, text, value, (number, name, bytes) => {
      const payload = new MessageWriter()
        .attributeU8(1, number & 0xff)
        .attributeU16(2, number & 0xffff)
        .attributeU32(3, number)
        .attributeString(4, name)
        .nested(5, (inner) => inner.attribute(6, bytes).nested(7, (deep) => deep.attributeU32(8, number)))
        .attributeBe16(9, number & 0xffff)
        .attributeBe64(10, BigInt(number))
        .finish();
      const attributes = decodeAttributes(payload);
      assert.deepEqual(
        [1, 2, 3].map((at) => numberOf(attributes, at)),
        [number & 0xff, number & 0xffff, number],
      );
      assert.equal(textOf(attributes, 4), name);
      const nested = nestedOf(attributes, 5);
      assert.deepEqual([...nested.get(6)!], [...bytes]);
      assert.equal(numberOf(nestedOf(nested, 7), 8), number);
      assert.deepEqual([...attributes.get(9)!], [(number >> 8) & 0xff, number & 0xff]);
      assert.equal(Buffer.from(attributes.get(10)!).readBigUInt64BE(), BigInt(number));
    }),
  );
});

test("messages come back from one datagram in order", () => {
  const message = fc.record({ type: fc.nat(0xffff), flags: fc.nat(0xffff), sequence: u32, payload: value });
  fc.assert(
    fc.property(fc.array(message), (messages) => {
      const datagram = joined(
        messages.map((at) => encodeMessage(at.type, at.flags, at.sequence, at.payload)),
      );
      const plain = (list: readonly { payload: Uint8Array }[]) =>
        list.map((at) => ({ ...at, payload: [...at.payload] }));
      assert.deepEqual(plain(decodeMessages(datagram)), plain(messages));
    }),
  );
});

test("whatever bytes come, decoding ends: with a value or with E_NETLINK_FORMAT", () => {
  const ends = (decode: () => unknown) => {
    try {
      decode();
    } catch (error) {
      assert.ok(error instanceof WeftError && error.code === "E_NETLINK_FORMAT", String(error));
    }
  };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(20), (bytes, offset) => {
      ends(() => decodeMessages(bytes));
      ends(() => decodeAttributes(bytes, offset));
      ends(() => numberOf(new Map([[1, bytes]]), 1));
      ends(() => textOf(new Map([[1, bytes]]), 1));
      ends(() => nestedOf(new Map([[1, bytes]]), 1));
    }),
    { numRuns: 2000 },
  );
});

test("a datagram cut anywhere is noticed, except between messages", () => {
  const datagram = joined([
    encodeMessage(16, 2, 7, Uint8Array.of(1, 2, 3, 4)),
    encodeMessage(3, 2, 7, new Uint8Array(4)),
  ]);
  for (let length = 1; length < datagram.length; length++) {
    if (length === 20) continue;
    assert.throws(() => decodeMessages(datagram.subarray(0, length)), { code: "E_NETLINK_FORMAT" });
  }
});

test("an attribute longer than its length field can say is refused", () => {
  assert.throws(() => new MessageWriter().attribute(1, new Uint8Array(65_532)), { code: "E_NETLINK_FORMAT" });
  assert.throws(() => new MessageWriter().nested(1, (inner) => inner.bytes(new Uint8Array(65_532))), {
    code: "E_NETLINK_FORMAT",
  });
});
