// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAgentConfig } from "#agent/config.ts";
import { dsrDispatchOf } from "./agent-settings.ts";

const config = (text: string) => parseAgentConfig(`nodeName: n1\n${text}`, "agent.yaml", {});

test("IP in IP needs pods' addresses to be routed; an agent that is told otherwise says so and does not start", () => {
  assert.equal(dsrDispatchOf(config("routing: native\nservices: {dsrDispatch: ipip}")), "ipip");
  assert.equal(dsrDispatchOf(config("routing: native")), "option");
  assert.equal(dsrDispatchOf(config("")), "option");
  assert.equal(dsrDispatchOf(config("services: {dsrDispatch: geneve}")), "geneve");
  assert.throws(() => dsrDispatchOf(config("services: {dsrDispatch: ipip}")), {
    code: "E_CONFIG",
    message: "services.dsrDispatch: ipip needs routing: native",
  });
});
