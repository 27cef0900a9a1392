// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseOperatorConfig } from "./config.ts";

test("an empty file is enough", () => {
  const config = parseOperatorConfig("", "operator.yaml");
  assert.equal(config.ipam, "kubernetes");
  assert.equal(config.lbIpam.enabled, true);
  assert.equal(config.health.listen, "127.0.0.1:9234");
});

test("a pool has a mask size", () => {
  const text =
    "ipam: cluster-pool\nclusterPool: {v4: {cidrs: [10.0.0.0/8]}, v6: {cidrs: ['fd00::/104'], maskSize: 112}}";
  const { clusterPool } = parseOperatorConfig(text, "operator.yaml");
  assert.deepEqual(clusterPool.v4, { cidrs: ["10.0.0.0/8"], maskSize: 24 });
  assert.equal(clusterPool.v6?.maskSize, 112);
});

for (const [text, message] of [
  ["ipam: cluster-pool", /clusterPool: ipam cluster-pool needs/],
  ["clusterPool: {v4: {cidrs: ['fd00::/64']}}", /clusterPool\.v4\.cidrs\.0: "fd00::\/64" is not of IPv4/],
  ["clusterPool: {v4: {cidrs: [10.0.0.0/25]}}", /smaller than a node's \/24/],
  ["clusterPool: {v4: {cidrs: [10.0.0.0/16, 10.0.16.0/20]}}", /cidrs\.1: "10\.0\.16\.0\/20" overlaps/],
  ["clusterPool: {v4: {cidrs: []}}", /clusterPool\.v4\.cidrs/],
  ["lbIPAM: {}", /lbIPAM/],
] as const) {
  test(`refused: ${text}`, () => {
    assert.throws(() => parseOperatorConfig(text, "operator.yaml"), { code: "E_CONFIG", message });
  });
}
