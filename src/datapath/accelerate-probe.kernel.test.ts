// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertNoFdLeak } from "#kit/fd-leak.ts";
import { accelerationProblem } from "./accelerate-probe.ts";

test("this kernel can take connections past the network, and asking leaves nothing", () => {
  assert.equal(accelerationProblem(), undefined);
  assertNoFdLeak(() => void accelerationProblem());
});
