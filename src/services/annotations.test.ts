// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { readServiceAnnotations, readWeight } from "#services/annotations.ts";

const read = (name: string, value: string) =>
  readServiceAnnotations({ [`service.cilium.io/${name}`]: value });

test("known values are read", () => {
  assert.deepEqual(readServiceAnnotations(undefined), { problems: [] });
  assert.deepEqual(read("lb-algorithm", "maglev"), { algorithm: "maglev", problems: [] });
  assert.deepEqual(read("type", "LoadBalancer, NodePort"), {
    exposed: ["NodePort", "LoadBalancer"],
    problems: [],
  });
  assert.deepEqual(read("node-selector", "edge=yes"), { nodeSelector: "edge=yes", problems: [] });
  assert.deepEqual(read("node", "beefy"), { nodeSelector: "service.cilium.io/node=beefy", problems: [] });
  assert.deepEqual(
    readServiceAnnotations({
      "service.cilium.io/node": "beefy",
      "service.cilium.io/node-selector": "edge=yes",
    }),
    { nodeSelector: "edge=yes", problems: [] },
  );
  assert.deepEqual(read("src-ranges-policy", "deny"), { denyRanges: true, problems: [] });
  assert.deepEqual(read("src-ranges-policy", "allow"), { problems: [] });
  assert.deepEqual(read("forwarding-mode", "snat"), { forwarding: "snat", problems: [] });
  assert.deepEqual(read("forwarding-mode", "dsr"), { forwarding: "dsr", problems: [] });
});

test("unknown values are problems that name annotation and value, and have no effect", () => {
  for (const [name, value] of [
    ["lb-algorithm", "least-request"],
    ["type", "LoadBalancer,Ingress"],
    ["type", ""],
    ["node-selector", "a in"],
    ["node", "a b"],
    ["src-ranges-policy", "reject"],
    ["forwarding-mode", "ipip"],
  ] as const) {
    const { problems, ...rest } = read(name, value);
    assert.deepEqual(rest, {});
    assert.equal(problems.length, 1);
    assert.ok(problems[0]!.includes(`service.cilium.io/${name}`) && problems[0]!.includes(value));
  }
  const both = { "service.cilium.io/forwarding-mode": "dsr", "service.cilium.io/node-selector": "edge=yes" };
  assert.match(readServiceAnnotations(both).problems[0]!, /snat is used/);
});

test("weights are 0 to 65535", () => {
  const weight = (value: string) => readWeight({ "service.cilium.io/weight": value });
  assert.deepEqual(["0", "7", "65535"].map(weight), [0, 7, 65_535]);
  assert.deepEqual(
    ["1", "65536", "-1", "1.5", "many", ""].filter((text) => weight(text) !== undefined),
    [],
  );
});
