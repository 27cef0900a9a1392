// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import type { AgentStatus } from "#agent/api.ts";
import { clusterReport } from "./judge.ts";
import type { ContainerStatus, NodeObject, PodObject } from "./objects.ts";
import type { AgentAnswer, Snapshot } from "./report.ts";

const nowMs = Date.parse("2026-11-22T12:00:00Z");

const node = (name: string, ready = "True"): NodeObject => ({
  metadata: { name },
  spec: { podCIDRs: ["10.244.1.0/24"] },
  status: {
    conditions: [{ type: "Ready", status: ready }],
    addresses: [{ type: "InternalIP", address: "192.0.2.1" }],
  },
});

function pod(app: string, name: string, nodeName: string, status: Partial<ContainerStatus> = {}): PodObject {
  const container = { name: "main", ready: true, restartCount: 0, state: { running: {} }, ...status };
  return {
    metadata: { name, namespace: "kube-system", labels: { "k8s-app": app } },
    spec: { nodeName, containers: [{ name: "main", image: "weft:1" }] },
    status: {
      phase: "Running",
      conditions: [{ type: "Ready", status: container.ready ? "True" : "False" }],
      containerStatuses: [container],
    },
  };
}

const agentStatus: AgentStatus = {
  node: "n1",
  version: "0.1.0",
  pid: 1,
  ready: true,
  uptimeSec: 300,
  rssBytes: 1e8,
  settings: {},
  health: [{ name: "k8s/pods", ok: true, text: "ok", level: "ok" }],
  counts: { endpoints: 3 },
};
const answer = (more: Partial<AgentStatus> = {}): AgentAnswer => ({ status: { ...agentStatus, ...more } });
const lease = (holderIdentity: string, renewTime = "2026-11-22T11:59:55Z") => ({
  metadata: { name: "weft-operator-leader", namespace: "kube-system" },
  spec: { holderIdentity, renewTime, leaseDurationSeconds: 15 },
});

function snapshot(more: Partial<Snapshot> = {}): Snapshot {
  return {
    server: "https://192.0.2.1:6443",
    nowMs,
    version: "0.1.0",
    nodes: [node("n2"), node("n1")],
    pods: {
      agent: [pod("weft", "weft-a", "n1"), pod("weft", "weft-b", "n2")],
      operator: [pod("weft-operator", "op-1", "n1")],
      relay: [],
    },
    lease: lease("op-1_5f"),
    answers: new Map([
      ["n1", answer()],
      ["n2", answer()],
    ]),
    ...more,
  };
}
const lines = (more: Partial<Snapshot>) =>
  clusterReport(snapshot(more)).problems.map(({ severity, about, text }) => `${severity} ${about}: ${text}`);
const answers = (n1: AgentAnswer, n2: AgentAnswer = answer()) => ({
  answers: new Map([
    ["n1", n1],
    ["n2", n2],
  ]),
});

test("a cluster that is well has no problems, its nodes stand in order", () => {
  const report = clusterReport(snapshot());
  assert.deepEqual(report.problems, []);
  assert.equal(report.well, true);
  assert.deepEqual(
    report.nodes.map(({ name, agent }) => `${name} ${agent?.pod}`),
    ["n1 weft-a", "n2 weft-b"],
  );
  assert.equal(report.operator.leader, "op-1");
});

test("a node without agent, an agent that crashes, one that does not answer", () => {
  const crashed = pod("weft", "weft-a", "n1", {
    ready: false,
    restartCount: 4,
    state: { waiting: { reason: "CrashLoopBackOff", message: "back-off 40s" } },
    lastState: { terminated: { exitCode: 1, message: "first\nkernel 5.10 has no tcx\n" } },
  });
  const { pods } = snapshot();
  assert.deepEqual(lines({ pods: { ...pods, agent: [crashed] }, ...answers({ error: "not asked" }) }), [
    "error node n1: agent weft-a container main: CrashLoopBackOff: back-off 40s (last exit code 1: kernel 5.10 has no tcx)",
    "error node n2: no agent runs on it",
  ]);
  const log = { level: 60, error: "services: no such setting", hint: "leave it out", msg: "agent failed" };
  const failed = pod("weft", "weft-a", "n1", {
    ready: false,
    state: { terminated: { exitCode: 1, message: `{"level":30}\n${JSON.stringify(log)}\n` } },
  });
  assert.equal(
    lines({ pods: { ...pods, agent: [failed] }, ...answers({ error: "not asked" }) })[0],
    "error node n1: agent weft-a container main ended with exit code 1: services: no such setting (leave it out)",
  );
  assert.deepEqual(lines(answers({ error: "weft-a: timed out" })), [
    "error node n1: agent does not answer: weft-a: timed out",
  ]);
});

test("what Kubernetes says of a node counts when its agent is ready", () => {
  assert.deepEqual(lines({ nodes: [node("n1", "Unknown"), node("n2")] }), [
    "error node n1: Kubernetes says NotReady",
  ]);
});

test("parts that fail are errors with their reason; starting is none while the agent is young", () => {
  const health = [
    { name: "policy", ok: false, text: "map full", level: "degraded" as const },
    { name: "k8s/nodes", ok: false, text: "waiting for the first list", level: "starting" as const },
    { name: "once", ok: false, text: "stopped", level: "stopped" as const },
  ];
  assert.deepEqual(lines(answers(answer({ health, uptimeSec: 5 }))), ["error node n1: policy: map full"]);
  assert.deepEqual(lines(answers(answer({ health }))), [
    "error node n1: policy: map full",
    "error node n1: k8s/nodes: waiting for the first list",
  ]);
});

test("maps that fill up warn, full ones and refused policies too", () => {
  const maps = [
    { name: "ct", entries: 81, maxEntries: 100 },
    { name: "nat", entries: 99, maxEntries: 100 },
    { name: "ipcache", entries: 10, maxEntries: 100 },
  ];
  const counts = { ...agentStatus.counts, "refused policies": 2 };
  assert.deepEqual(lines(answers(answer({ maps, counts }))), [
    "error node n1: map nat is 99 % full (99 of 100)",
    "warning node n1: map ct is 81 % full (81 of 100)",
    "warning node n1: 2 policies are refused, and not applied",
  ]);
});

test("an operator that is missing, not ready, without leader or with one that is gone", () => {
  const { pods } = snapshot();
  const unready = pod("weft-operator", "op-1", "n1", { ready: false });
  const second = pod("weft-operator", "op-2", "n2");
  assert.deepEqual(lines({ pods: { ...pods, operator: [] } }), ["error operator: no operator runs"]);
  assert.deepEqual(lines({ pods: { ...pods, operator: [unready] } }), [
    "error operator: op-1 container main is not ready",
  ]);
  assert.deepEqual(lines({ pods: { ...pods, operator: [unready, second] }, lease: lease("op-2") }), [
    "warning operator: op-1 container main is not ready",
  ]);
  assert.deepEqual(lines({ lease: undefined }), ["error operator: none leads: no Lease is held"]);
  assert.deepEqual(lines({ lease: lease("op-1", "2026-11-22T11:50:00Z") }), [
    "error operator: op-1 leads, but has not renewed its Lease for 600 s",
  ]);
});

test("versions that differ are a warning, and the cluster is still well", () => {
  const skew = snapshot(answers(answer({ version: "0.2.0" })));
  const report = clusterReport(skew);
  assert.equal(report.well, true);
  assert.equal(report.problems[0]?.text, "agents run different versions: 0.2.0 on n1; 0.1.0 on n2");
  assert.deepEqual(lines({ version: "0.3.0" }), ["warning cluster: agents run 0.1.0, this command is 0.3.0"]);
});

test("of two agents on a node the one that stays is asked", () => {
  const { pods } = snapshot();
  const leaving = pod("weft", "weft-0", "n1");
  const agents = [{ ...leaving, metadata: { ...leaving.metadata, deletionTimestamp: "now" } }, ...pods.agent];
  const report = clusterReport(snapshot({ pods: { ...pods, agent: agents } }));
  assert.equal(report.nodes[0]?.agent?.pod, "weft-a");
});
