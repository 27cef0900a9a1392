// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { parseDurationMs, parseMoment } from "./observe-time.ts";
import { formatTime, timeFormats } from "./print/flow-time.ts";

const nowMs = Date.parse("2026-11-22T12:00:00Z");
const moment = (text: string) => new Date(Number(parseMoment(text, nowMs) / 1_000_000n)).toISOString();

test("durations", () => {
  assert.deepEqual(
    ["3s", "4m", "1h43m", "1h43", "1m30", "500ms", "1.5h", "2d"].map(parseDurationMs),
    [3_000, 240_000, 6_180_000, 6_180_000, 90_000, 500, 5_400_000, 172_800_000],
  );
  assert.deepEqual(["", "3", "s", "3x", "-3s", "1ms5"].map(parseDurationMs), Array(6).fill(undefined));
});

test("moments", () => {
  assert.equal(moment("now"), "2026-11-22T12:00:00.000Z");
  assert.equal(moment("90s"), "2026-11-22T11:58:30.000Z");
  assert.equal(moment("2026-11-21"), "2026-11-21T00:00:00.000Z");
  assert.equal(moment("2026-11-21T15+02:00"), "2026-11-21T13:00:00.000Z");
  assert.equal(moment("2026-11-21T15:04:05.678Z"), "2026-11-21T15:04:05.678Z");
  assert.equal(moment("Nov  2 15:04:05.678"), "2026-11-02T15:04:05.678Z");
  assert.equal(moment("Sat, 21 Nov 2026 15:04:05 +0100"), "2026-11-21T14:04:05.000Z");
  assert.equal(parseMoment("2026-11-21T15:04:05.123456789Z", nowMs) % 1_000_000_000n, 123_456_789n);
  for (const bad of ["", "yesterday", "2026-13-01", "15:04"])
    assert.throws(() => parseMoment(bad, nowMs), { code: "E_USAGE" });
});

test("a moment is written in each format", () => {
  const time = create(TimestampSchema, { seconds: BigInt(nowMs / 1_000), nanos: 10_203_000 });
  const written = Object.fromEntries(Object.keys(timeFormats).map((name) => [name, formatTime(name, time)]));
  assert.deepEqual(written, {
    StampMilli: "Nov 22 12:00:00.010",
    YearMonthDay: "2026-11-22",
    YearMonthDayHour: "2026-11-22T12Z",
    YearMonthDayHourMinute: "2026-11-22T12:00Z",
    RFC3339: "2026-11-22T12:00:00Z",
    RFC3339Milli: "2026-11-22T12:00:00.010Z",
    RFC3339Micro: "2026-11-22T12:00:00.010203Z",
    RFC3339Nano: "2026-11-22T12:00:00.010203Z",
    RFC1123Z: "Sun, 22 Nov 2026 12:00:00 +0000",
  });
});
