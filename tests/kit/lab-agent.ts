// SPDX-License-Identifier: Apache-2.0
import { renameSync } from "node:fs";
import { join } from "node:path";
import { hasErrno } from "#kernel/errno.ts";
import { agentPid } from "./lab-kernel.ts";
import { labStateDir, until, weft } from "./lab-run.ts";

/** `weft status -o json` of one node. */
export interface AgentStatus {
  readonly pid: number;
  readonly ready: boolean;
  readonly health: readonly { readonly name: string; readonly ok: boolean; readonly text: string }[];
  readonly counts: Readonly<Record<string, number>>;
}

/** `kill -9`; the lab starts the agent again. One that is just being started is waited for. */
export async function killAgent(node: string): Promise<void> {
  const pid = await until(`an agent of ${node}`, () => agentPid(node));
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    // It has ended by itself meanwhile.
    if (!hasErrno(error, "ESRCH")) throw error;
  }
  await until("the agent to die", () => agentPid(node) !== pid);
}

/** Waits until the agent has read the cluster and the kernel has what it wants. */
export async function agentReady(node: string): Promise<void> {
  await until(`${node}'s agent to be ready`, async () => {
    const { code, stdout, stderr } = await weft("status", "--node", node, "-o", "json");
    if (code !== 0) throw new Error(stderr);
    const [status] = JSON.parse(stdout) as AgentStatus[];
    return status?.ready === true && status.pid === agentPid(node) && status.health.every(({ ok }) => ok);
  });
}

/** Kills a node's agent and keeps it down meanwhile: without its settings an agent ends as soon as it starts. */
export async function heldDown(node: string, meanwhile: () => Promise<void>): Promise<void> {
  const config = join(labStateDir, "nodes", node, "agent.yaml");
  renameSync(config, `${config}.away`);
  try {
    await killAgent(node);
    await meanwhile();
  } finally {
    renameSync(`${config}.away`, config);
  }
}
