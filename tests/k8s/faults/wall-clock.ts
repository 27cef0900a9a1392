// SPDX-License-Identifier: Apache-2.0
/**
 * The wall clock of Weft's programs, set by a test. A machine's clock cannot be set for some of its processes (time namespaces have none of
 * their own), so Node is told to load a Date first that adds what a file says: all the programs know of the wall clock comes from there.
 */
import assert from "node:assert/strict";
import type { Cluster } from "../cluster/cluster.ts";
import { type App, agentDaemonSet, kubeSystem, operatorDeployment, pidOn, rollout } from "./agents.ts";

/** Of the pod's own shared memory, which is there and writable also in a container that may write nowhere. */
const file = "/dev/shm/clock-offset-ms";

const date = `
import { readFileSync } from "node:fs";
const RealDate = Date;
let offsetMs = 0;
let nextMs = 0;
const now = () => {
  if (performance.now() >= nextMs) {
    nextMs = performance.now() + 100;
    try { offsetMs = Number(readFileSync("${file}", "utf8")); } catch { offsetMs = 0; }
  }
  return RealDate.now() + offsetMs;
};
globalThis.Date = class Date extends RealDate {
  constructor(...given) { given.length > 0 ? super(...given) : super(now()); }
  static now() { return now(); }
};`;

const variable = "NODE_OPTIONS";
const programs = [agentDaemonSet, operatorDeployment];

/** Replaces Weft's pods by some whose clock can be set; {@link asBefore} takes that back. */
export async function makeClocksSettable(cluster: Cluster): Promise<void> {
  const option = `--import=data:text/javascript,${encodeURIComponent(date)}`;
  await kubeSystem(cluster, ["set", "env", ...programs, `${variable}=${option}`]);
  for (const program of programs) await rollout(cluster, program);
}

export async function asBefore(cluster: Cluster): Promise<void> {
  await kubeSystem(cluster, ["set", "env", ...programs, `${variable}-`]);
  for (const program of programs) await rollout(cluster, program);
}

/** Sets the clock of the program on a node (false: it does not run there) so much ahead; less than 0: back. */
export async function setClock(cluster: Cluster, node: string, app: App, offsetMs: number): Promise<boolean> {
  const pid = await pidOn(cluster, node, app);
  if (pid === undefined) return false;
  const command = `echo ${offsetMs} > /proc/${pid}/root${file}`;
  const { code, stderr } = await cluster.onNode(node, ["sh", "-c", command]);
  assert.equal(code, 0, stderr);
  return true;
}
