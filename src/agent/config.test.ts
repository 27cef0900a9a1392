// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAgentConfig } from "./config.ts";

test("one setting is enough", () => {
  const config = parseAgentConfig("nodeName: n1\n", "agent.yaml");
  assert.equal(config.routing, "tunnel");
  assert.equal(config.observer.listen, "0.0.0.0:4244");
});

test("a file for all nodes: each takes its name from the environment", () => {
  assert.equal(parseAgentConfig("", "agent.yaml", { NODE_NAME: "n2" }).nodeName, "n2");
  assert.equal(parseAgentConfig("nodeName: n1\n", "agent.yaml", { NODE_NAME: "n2" }).nodeName, "n1");
  assert.throws(() => parseAgentConfig("", "agent.yaml", { NODE_NAME: "" }), /nodeName/);
});

test("an API server's port has a default, its host has none", () => {
  const { apiServer } = parseAgentConfig("nodeName: n1\napiServer: {host: 10.0.0.1}\n", "agent.yaml");
  assert.deepEqual(apiServer, { host: "10.0.0.1", port: 6443 });
  assert.throws(() => parseAgentConfig("nodeName: n1\napiServer: {port: 1}\n", "a"), /apiServer\.host/);
});

for (const [text, message] of [
  ["nodeName: n1\nrouteing: tunnel\n", /agent\.yaml: .*routeing/],
  ["nodeName: n1\nrouting: bgp\n", /routing:/],
  [
    "nodeName: n1\nnativeRoutingCidrs: [10.0.0.0/40]\n",
    /nativeRoutingCidrs\.0: "10\.0\.0\.0\/40" is not a CIDR prefix/,
  ],
  ["nodeName: n1\nservices: {dsrDispatch: gre}\n", /services\.dsrDispatch: .*option.*ipip.*geneve/],
  ["nodeName: [\n", /agent\.yaml/],
  ["{}", /nodeName/],
] as const) {
  test(`refused: ${JSON.stringify(text)}`, () => {
    assert.throws(
      () => parseAgentConfig(text, "agent.yaml", {}),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, "E_CONFIG");
        assert.match(error.message, message);
        return true;
      },
    );
  });
}
