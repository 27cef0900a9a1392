// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { natPorts } from "./node-config.ts";

test("translated connections get many ports, and leave the kernel the lower half of its own at least", () => {
  for (const [min, max, first] of [
    [32_768, 60_999, 49_152],
    [1_024, 65_535, 49_152],
    [10_000, 20_000, 49_152],
    [50_000, 60_999, 55_501],
    [60_000, 65_535, 62_769],
    [65_535, 65_535, 65_535],
  ] as const) {
    assert.deepEqual(natPorts({ min, max }), { min: first, max: 65_535 });
  }
});
