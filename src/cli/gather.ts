// SPDX-License-Identifier: Apache-2.0
import { agentGet } from "#agent/api-client.ts";
import { askAgents } from "#live/ask-all.ts";
import { type AgentChoice, joinGrids } from "./agents.ts";
import type { Grid } from "./print/table.ts";
import { type ClusterChoice, chooseTarget } from "./target.ts";

/** Asks every agent at a path of its local API, wherever they run, and puts the answers under each other. */
export async function gatherGrid(
  choice: AgentChoice & ClusterChoice,
  path: string,
  signal: AbortSignal,
): Promise<Grid> {
  const target = await chooseTarget(choice);
  const merge = choice.merge ?? false;
  if (target.kind === "local") {
    const answers = target.agents.map(async ({ node, socket }) => ({
      node,
      grid: await agentGet<Grid>(socket, path, signal),
    }));
    return joinGrids(await Promise.all(answers), merge);
  }
  using client = target.client;
  const answers = await askAgents<Grid>(client, { path, node: choice.node, signal });
  const good = answers.flatMap(({ node, body }) => (body === undefined ? [] : [{ node, grid: body }]));
  const bad = answers.filter(({ error }) => error !== undefined);
  if (good.length === 0) throw bad[0]!.error!;
  // Half an answer is worth having; that it is half must be seen, and in the exit code.
  for (const { node, error } of bad) process.stderr.write(`weft: node ${node}: ${error?.message}\n`);
  if (bad.length > 0) process.exitCode = 1;
  return joinGrids(good, merge);
}
