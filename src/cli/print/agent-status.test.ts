// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import type { AgentStatus } from "#agent/api.ts";
import { renderAgentStatus } from "./agent-status.ts";

const status: AgentStatus = {
  node: "n1",
  version: "0.1.0",
  pid: 7,
  ready: true,
  uptimeSec: 27,
  rssBytes: 130e6,
  settings: { routing: "tunnel", families: "v4" },
  counts: { endpoints: 4, nodes: 3 },
  maps: [{ name: "lb", entries: 10, maxEntries: 100 }],
  mapBytes: 70e6,
  health: [
    { name: "services", ok: true, text: "7 service(s)" },
    { name: "node-health", ok: false, text: "cannot serve on 0.0.0.0:10256" },
  ],
};
const shown = (report: Parameters<typeof renderAgentStatus>[0], wide: boolean) =>
  stripVTControlCharacters(renderAgentStatus(report, wide));

test("what is not well is said, what is well is counted", () => {
  assert.equal(
    shown(status, false),
    `Node n1: ready
  Agent:       weft 0.1.0, pid 7, up 27 s, 130 MB
  Settings:    routing tunnel, families v4
  Counts:      4 endpoints, 3 nodes
  Maps:        fullest lb 10 %, 70 MB of kernel memory in all
  Parts:       1 of 2 do not work (-o wide lists them)
  node-health: cannot serve on 0.0.0.0:10256
`,
  );
  const well = { ...status, health: status.health.slice(0, 1) };
  assert.match(shown(well, false), /^ {2}Parts: {4}all 1 work \(-o wide lists them\)\n$/m);
});

test("wide: every part", () => {
  assert.match(shown(status, true), /^ {2}services: {4}7 service\(s\)$/m);
});

test("an agent that does not answer", () => {
  const gone = { node: "n2", ready: false, error: "connect ENOENT /run/weft/agent.sock" } as const;
  assert.equal(shown(gone, false), "Node n2: not reachable\n  connect ENOENT /run/weft/agent.sock\n");
});
