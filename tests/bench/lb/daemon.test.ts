// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { metric } from "./daemon.ts";

const page = `# HELP sync_total so many
sync_total 3
sync_total_errors 9
rules{table="nat"} 40
rules{table="filter",ip_family="IPv4"} 2
last_seconds 1.7e+09
`;

test("a metric is the sum of its samples", () => {
  assert.equal(metric(page, "rules"), 42);
  assert.equal(metric(page, "sync_total"), 3);
  assert.equal(metric(page, "last_seconds"), 1.7e9);
});

test("one that is not there is nothing, not 0", () => {
  assert.equal(metric(page, "sync"), undefined);
  assert.equal(metric("", "rules"), undefined);
});
