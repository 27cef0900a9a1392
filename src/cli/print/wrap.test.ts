// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { wrap } from "./wrap.ts";

test("lines break at blanks, keep what they begin with, and go on indented", () => {
  const line = "    considered   NetworkPolicy data/database spec.ingress[0]: allows nobody";
  assert.equal(
    wrap(line, 50, 17),
    "    considered   NetworkPolicy data/database\n                 spec.ingress[0]: allows nobody",
  );
  assert.equal(wrap(line, 80, 17), line);
  assert.equal(wrap(line, undefined, 17), line);
});

test("a word longer than a line stands alone; colours take no room", () => {
  const word = "x".repeat(60);
  assert.equal(wrap(`short ${word} end`, 50, 2), `short\n  ${word}\n  end`);
  const green = `\u001b[32m${"y".repeat(30)}\u001b[39m`;
  assert.equal(wrap(`${green} ${"z".repeat(15)}`, 46, 2), `${green} ${"z".repeat(15)}`);
});
