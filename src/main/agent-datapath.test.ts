// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAgentConfig } from "#agent/config.ts";
import { dsrIpipOf } from "./agent-datapath.ts";

const config = (text: string) => parseAgentConfig(`nodeName: n1\n${text}`, "agent.yaml", {});

test("IP in IP needs pods' addresses to be routed; an agent that is told otherwise says so and does not start", () => {
  assert.equal(dsrIpipOf(config("routing: native\nservices: {dsrDispatch: ipip}")), true);
  assert.equal(dsrIpipOf(config("routing: native")), false);
  assert.equal(dsrIpipOf(config("")), false);
  assert.throws(() => dsrIpipOf(config("services: {dsrDispatch: ipip}")), {
    code: "E_CONFIG",
    message: "services.dsrDispatch: ipip needs routing: native",
  });
});
