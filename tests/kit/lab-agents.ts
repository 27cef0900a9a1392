// SPDX-License-Identifier: Apache-2.0
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { cgroupRoot } from "#kernel/cgroup.ts";
import { until } from "./lab-run.ts";

/**
 * Gives the agents of a lab's nodes other settings and has them start anew. Resolves when what they make of them is in the kernel.
 * @param prefix the lab's
 * @param settings by the node's name, in the form of the agent's file
 */
export async function restartAgents(
  prefix: string,
  settings: Readonly<Record<string, object>>,
): Promise<void> {
  await Promise.all(Object.entries(settings).map(([node, own]) => restartAgent(prefix, node, own)));
}

async function restartAgent(prefix: string, node: string, settings: object): Promise<void> {
  const dir = join("/run", prefix, "nodes", node);
  const file = join(dir, "agent.yaml");
  writeFileSync(file, stringify({ ...(parse(readFileSync(file, "utf8")) as object), ...settings }));
  const processes = join(cgroupRoot(), prefix, node, "agent/cgroup.procs");
  const pid = () => Number(readFileSync(processes, "utf8").split("\n")[0]);
  const old = pid();
  process.kill(old, "SIGTERM");
  await until(`the agent of ${node} to be ready again`, () => {
    const now = pid();
    return now > 0 && now !== old && isReady(join(dir, "agent.log"), now);
  });
}

/** What an agent says when its first complete state is in the kernel. */
function isReady(log: string, pid: number): boolean {
  return readFileSync(log, "utf8")
    .split("\n")
    .some((line) => line.includes(`"pid":${pid}`) && line.includes('"msg":"ready"'));
}
