// SPDX-License-Identifier: Apache-2.0
// `weft status` and the inspecting commands against an API server, the agents asked by exec.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { resources } from "#k8s/resource.ts";
import { liveCluster, nodeObject, runWeft, weftPod } from "#kit/live-cluster.ts";

const lease = {
  apiVersion: "coordination.k8s.io/v1",
  kind: "Lease",
  metadata: { name: "weft-operator-leader", namespace: "kube-system" },
  spec: {
    holderIdentity: "op-1",
    // Long: on a busy machine the whole file takes minutes.
    leaseDurationSeconds: 3600,
    renewTime: new Date().toISOString().replace("Z", "000Z"),
  },
};

const status = (node: string, degraded: boolean) => ({
  node,
  version: "0.1.0",
  pid: 1,
  ready: true,
  uptimeSec: 200,
  rssBytes: 120_000_000,
  settings: { routing: "tunnel", pods: "10.244.1.0/24" },
  health: [
    degraded
      ? { name: "services", ok: false, level: "degraded", text: "lb_backends is full", sinceMs: 1 }
      : { name: "services", ok: true, level: "ok", text: "OK", sinceMs: 1 },
  ],
  counts: { endpoints: 7, policies: 2, identities: 9 },
  maps: [{ name: "ct", entries: 40, maxEntries: 100 }],
});
const flows = { perSec: 12.34, seen: 100, held: 50 };

function agents(broken: ReadonlySet<string> = new Set()) {
  return liveCluster({
    exec(pod, command) {
      assert.deepEqual(command.slice(0, 2), ["weft", "raw"]);
      const node = pod.replace("weft-", "");
      if (broken.has("silent") && node === "n2") return { code: 1, stderr: "weft: no agent answers\n" };
      const body: Record<string, unknown> = {
        "/v1/status": status(node, broken.has(node)),
        "/observer": flows,
        "/v1/db/nodes": {
          name: "nodes",
          columns: [{ name: "NAME" }, { name: "EXTRA", wide: true }],
          rows: [[node, "x"]],
        },
        "/v1/db/identities": { name: "identities", columns: [{ name: "ID" }], rows: [[5], [node.length]] },
      };
      return {
        stdout: command
          .slice(2)
          .map((path) => `${JSON.stringify({ path, body: body[path] })}\n`)
          .join(""),
      };
    },
  });
}

async function filled(broken?: ReadonlySet<string>) {
  const cluster = await agents(broken);
  for (const name of ["n1", "n2"]) {
    await cluster.create(resources.nodes, nodeObject(name, "192.0.2.1"));
    await cluster.create(resources.pods, weftPod(`weft-${name}`, name));
  }
  await cluster.create(
    resources.pods,
    weftPod("op-1", "n1", { app: "weft-operator", container: "operator" }),
  );
  await cluster.create(resources.leases, lease);
  return cluster;
}

test("weft status shows a cluster that is well", async () => {
  await using cluster = await filled();
  const shown = await cluster.weft("status");
  assert.equal(shown.code, 0, shown.stdout + shown.stderr);
  assert.match(shown.stdout, /^Cluster https:.*: everything works\n/);
  assert.match(shown.stdout, /^n1 +Ready +ready +0\.1\.0 +3m +2 +7 +2 +9 +12 +ct 40 %$/m);
  assert.match(shown.stdout, /^Operator +1 of 1 ready, 2 restarts, op-1 leads$/m);
  assert.match(shown.stdout, /^Relay +not installed$/m);
  const json = JSON.parse((await cluster.weft("status", "-o", "json", "--node", "n2")).stdout) as {
    well: boolean;
    nodes: { name: string; flows: object }[];
  };
  assert.equal(json.well, true);
  assert.deepEqual(
    json.nodes.map((node) => node.name),
    ["n2"],
  );
  assert.deepEqual(json.nodes[0]!.flows, flows);
});

test("what is wrong comes first, and in the exit code", async () => {
  await using cluster = await filled(new Set(["n1", "silent"]));
  const shown = await cluster.weft("status");
  assert.equal(shown.code, 1);
  assert.match(
    shown.stdout,
    /^Cluster https:.*: 2 errors\n\n✗ node n1: services: lb_backends is full\n✗ node n2: agent does not answer: weft-n2: weft: no agent answers\n/,
  );
});

test("tables of all agents, of one, and with one that does not answer", async () => {
  await using cluster = await filled(new Set(["silent"]));
  const one = await cluster.weft("db", "show", "nodes", "--node", "n1", "-o", "wide");
  assert.equal(one.stdout, "NAME   EXTRA\nn1     x\n");
  const half = await cluster.weft("db", "show", "nodes");
  assert.equal(half.stdout, "NAME\nn1\n");
  assert.match(half.stderr, /node n2: weft-n2: weft: no agent answers/);
  assert.equal(half.code, 1);
  const none = await cluster.weft("db", "show", "nodes", "--node", "n9");
  assert.match(none.stderr, /no agent on node "n9" \(there are: n1, n2\)/);
});

test("rows that agents share are one row", async () => {
  await using cluster = await filled();
  const shown = await cluster.weft("identity", "list");
  assert.equal(shown.stdout, "ID   NODES\n2    2/2\n5    2/2\n");
});

test("a cluster without Weft says so", async () => {
  await using cluster = await agents();
  const shown = await cluster.weft("status");
  assert.equal(shown.code, 1);
  assert.match(
    shown.stderr,
    /no Weft agents run in the cluster at https:.*\n {2}install Weft with `weft install`/,
  );
});

test("an API server that does not answer is tried again, and then named", async () => {
  const home = mkdtempSync(join(tmpdir(), "weft-no-server-"));
  try {
    const KUBECONFIG = join(home, "config");
    // Port 1 is nobody's.
    writeFileSync(KUBECONFIG, unreachable, { mode: 0o600 });
    const shown = await runWeft(["status"], { KUBECONFIG, HOME: home });
    assert.equal(shown.code, 1, shown.stderr);
    assert.match(shown.stderr, /^weft: GET \/api\/v1\/\w+ got no complete answer: .*ECONNREFUSED/);
  } finally {
    rmSync(home, { recursive: true });
  }
});

const unreachable = `apiVersion: v1
kind: Config
current-context: none
clusters: [{name: none, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: none, user: {token: t0ken}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
`;

test("--wait ends when nothing is wrong, or says at the end what still is", async () => {
  await using cluster = await filled();
  assert.equal((await cluster.weft("status", "--wait")).code, 0);
  await cluster.create(resources.nodes, nodeObject("n3", "192.0.2.3"));
  const waited = await cluster.weft("status", "--wait", "--timeout", "1");
  assert.equal(waited.code, 1);
  assert.match(waited.stderr, /^waiting: node n3: no agent runs on it$/m);
  assert.match(waited.stdout, /: 1 error\n/);
});
