// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "#kit/property.ts";
import { WeftError } from "#lib/errors.ts";
import { parseAddress } from "#model/ip.ts";
import { type DnsMessage, type DnsRecord, decodeMessage, encodeMessage } from "./wire.ts";

const base: DnsMessage = {
  id: 4711,
  response: true,
  authoritative: true,
  truncated: false,
  recursionDesired: true,
  code: 0,
  question: { name: "web.shop.svc.cluster.local", type: 1 },
  answers: [],
};

const records: DnsRecord[] = [
  { name: "a.local", ttlSec: 5, type: "A", address: parseAddress("10.0.0.1") },
  { name: "a.local", ttlSec: 5, type: "AAAA", address: parseAddress("fd00::1") },
  { name: "c.local", ttlSec: 30, type: "CNAME", target: "a.local" },
  {
    name: "_http._tcp.a.local",
    ttlSec: 5,
    type: "SRV",
    priority: 0,
    weight: 100,
    port: 80,
    target: "a.local",
  },
];

test("a message reads back as it was written", () => {
  const message = { ...base, answers: records };
  assert.deepEqual(decodeMessage(encodeMessage(message)), message);
});

test("what does not fit is left out and said so", () => {
  const answers = Array.from({ length: 100 }, () => records[0]!);
  const bytes = encodeMessage({ ...base, answers }, 512);
  assert.ok(bytes.length <= 512);
  const back = decodeMessage(bytes);
  assert.equal(back.truncated, true);
  assert.ok(back.answers.length > 10 && back.answers.length < 100);
});

test("compressed names of other programs are read", () => {
  const question = encodeMessage({ ...base, answers: [] });
  const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 0, 0, 9]);
  const bytes = Buffer.concat([question, answer]);
  bytes.writeUInt16BE(1, 6);
  const [record] = decodeMessage(bytes).answers;
  assert.deepEqual(record, { name: base.question?.name, ttlSec: 5, type: "A", address: "10.0.0.9" });
});

test("a pointer that does not point back is refused", () => {
  const bytes = Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1]);
  assert.throws(() => decodeMessage(bytes), WeftError);
});

test("any bytes are either a message or refused with E_DNS", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decodeMessage(bytes);
      } catch (error) {
        assert.equal((error as WeftError).code, "E_DNS");
      }
    }),
  );
});
