// SPDX-License-Identifier: Apache-2.0
// `weft sysdump` against an API server in which secrets are planted: none may be in the archive.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { KubeObject } from "#k8s/resource.ts";
import { resources } from "#k8s/resource.ts";
import { liveCluster, nodeObject, weftPod } from "#kit/live-cluster.ts";

const planted = "pl4nted-s3cret";
const core = (plural: string) => ({ group: "", version: "v1", plural });

test("a dump has what is needed, says what failed, and has no secrets", async () => {
  await using cluster = await liveCluster({
    exec(_pod, command) {
      if (command[1] === "observe") return { stderr: "weft: no observer answers\n", code: 1 };
      if (command[0] === "sh") return { stdout: `TOKEN=${planted}\n` };
      const body: Record<string, unknown> = {
        "/v1/status": {
          node: "n1",
          version: "0.1.0",
          ready: true,
          uptimeSec: 1,
          settings: {},
          health: [],
          counts: {},
        },
        "/v1/tables": { name: "tables", columns: [{ name: "NAME" }], rows: [["nodes"]] },
        "/v1/bpf": ["ct"],
        "/v1/db/nodes": { name: "nodes", columns: [{ name: "NAME" }], rows: [["n1"]] },
        "/v1/bpf/ct": { name: "ct", columns: [], rows: [] },
      };
      return {
        stdout: command
          .slice(2)
          .map((path) => `${JSON.stringify({ path, body: body[path] })}\n`)
          .join(""),
      };
    },
    logs: (pod, _container, previous) =>
      `${previous ? "before" : "now"} ${pod}\nAuthorization: Bearer ${planted}\n`,
  });
  await cluster.create(resources.nodes, nodeObject("n1", "192.0.2.1"));
  await cluster.create(resources.pods, weftPod("weft-n1", "n1"));
  await cluster.create(core("secrets"), {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "s", namespace: "default" },
    data: { password: Buffer.from(planted).toString("base64") },
  } as KubeObject);
  await cluster.create(core("configmaps"), {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name: "weft-config",
      namespace: "kube-system",
      annotations: { "kubectl.kubernetes.io/last-applied-configuration": planted },
    },
    data: { "agent.yaml": `routing: tunnel\napiToken: ${planted}\n` },
  } as KubeObject);
  await cluster.create(resources.pods, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "app", namespace: "default" },
    spec: {
      containers: [
        {
          name: "app",
          image: "app:1",
          args: [`--password=${planted}`],
          env: [{ name: "DB_PASSWORD", value: planted }],
        },
      ],
    },
  } as KubeObject);

  const dir = mkdtempSync(join(tmpdir(), "weft-sysdump-"));
  try {
    const file = join(dir, "dump.tar.gz");
    const done = await cluster.weft("sysdump", "-o", file);
    assert.equal(done.code, 0, done.stdout + done.stderr);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    execFileSync("tar", ["-xzf", file, "-C", dir, "--strip-components=1"]);
    const all = execFileSync("find", [dir, "-type", "f", "-not", "-name", "*.gz"], { encoding: "utf8" });
    for (const path of [
      "status.txt",
      "nodes/n1/status.json",
      "nodes/n1/db/nodes.json",
      "nodes/n1/bpf/ct.json",
      "logs/weft-n1/agent.log",
      "logs/weft-n1/agent.previous.log",
      "kubernetes/pods.json",
      "kubernetes/weft-config.json",
      "kubernetes/events.json",
      "index.json",
    ])
      assert.ok(all.includes(`/${path}\n`), `${path} in\n${all}`);
    const encoded = Buffer.from(planted).toString("base64").slice(0, 12);
    const found = execFileSync(
      "sh",
      ["-c", `grep -rlE '${planted}|${encoded}' "$0" --exclude='*.gz' || true`, dir],
      {
        encoding: "utf8",
      },
    );
    assert.equal(found, "");
    assert.match(done.stdout, /not collected: metrics\/weft-n1\.txt: /);
    assert.match(done.stdout, /dump\.tar\.gz: \d+ files/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
