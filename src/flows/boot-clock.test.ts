// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { bootOffsetNs } from "./boot-clock.ts";

test("boot time and offset are the wall time", () => {
  const bootNs = BigInt(Math.round(Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1e9));
  const differenceMs = Number(bootNs + bootOffsetNs()) / 1e6 - Date.now();
  assert.ok(Math.abs(differenceMs) < 100, `${differenceMs} ms`);
});
