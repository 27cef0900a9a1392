// SPDX-License-Identifier: Apache-2.0
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errorText } from "#lib/errors.ts";
import type { Cluster } from "./cluster.ts";

const questions: Readonly<Record<string, readonly string[]>> = {
  "nodes.txt": ["describe", "nodes"],
  "pods.txt": ["get", "pods", "-A", "-o", "wide"],
  "services.txt": ["get", "services,endpointslices", "-A", "-o", "wide"],
  "policies.yaml": ["get", "networkpolicies", "-A", "-o", "yaml"],
  "events.txt": ["get", "events", "-A", "--sort-by=.lastTimestamp"],
  "agents.log": ["logs", "-n", "kube-system", "-l", "k8s-app=weft", "--prefix", "--tail=-1"],
  "operator.log": ["logs", "-n", "kube-system", "-l", "k8s-app=weft-operator", "--prefix", "--tail=-1"],
};

/** Writes what a failure is looked into with: programs' logs, objects, events. Never throws: it follows a failure. */
export async function collectLogs(cluster: Cluster, dir: string): Promise<void> {
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  cpSync(cluster.layout.logs, join(dir, "programs"), { recursive: true });
  for (const [file, args] of Object.entries(questions)) {
    const text = await cluster.kubectl(args, { timeoutMs: 30_000 }).catch(errorText);
    writeFileSync(join(dir, file), text);
  }
  console.log(`    logs are in ${dir}`);
}
