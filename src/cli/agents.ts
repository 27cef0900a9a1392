// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { labAgents } from "#lab/agents.ts";
import { WeftError } from "#lib/errors.ts";
import type { Grid } from "./print/table.ts";

export interface AgentChoice {
  /** Socket of one agent. */
  readonly agent?: string;
  /** Only this node's agent. */
  readonly node?: string;
  /** Rows that several agents have in common are one row that says how many have it. */
  readonly merge?: boolean;
}

export interface AgentAddress {
  readonly node: string;
  readonly socket: string;
}

const installedSocket = "/run/weft/agent.sock";

/** The agents a command asks: the one named, else those of the running lab, else the one installed on this machine. */
export function findAgents(choice: AgentChoice): AgentAddress[] {
  if (choice.agent) return [{ node: choice.node ?? "", socket: choice.agent }];
  let found: AgentAddress[] = labAgents();
  if (found.length === 0 && existsSync(installedSocket)) found = [{ node: "", socket: installedSocket }];
  if (choice.node && found.length > 0) {
    const names = found.map((agent) => agent.node).join(", ");
    found = found.filter((agent) => agent.node === choice.node);
    if (found.length === 0)
      throw new WeftError("E_NOT_FOUND", `no agent on node "${choice.node}" (there are: ${names})`);
  }
  if (found.length === 0) {
    throw new WeftError("E_AGENT", "no agent runs on this machine", {
      hint: "start a lab with `weft lab up`, or name a socket with --agent",
    });
  }
  return found;
}

/** Answers of several agents under each other, with a NODE column in front; merged: rows they share are one row. */
export function joinGrids(
  answers: readonly { readonly node: string; readonly grid: Grid }[],
  merge: boolean,
): Grid {
  if (answers.length === 1) return answers[0]!.grid;
  if (merge) return mergeGrids(answers.map(({ grid }) => grid));
  return {
    columns: [{ name: "NODE" }, ...answers[0]!.grid.columns],
    rows: answers.flatMap(({ node, grid }) => grid.rows.map((row) => [node, ...row])),
  };
}

function mergeGrids(answers: readonly Grid[]): Grid {
  const counts = new Map<string, { row: Grid["rows"][number]; nodes: number }>();
  for (const { rows } of answers) {
    for (const row of rows) {
      const key = JSON.stringify(row);
      const known = counts.get(key);
      if (known) known.nodes++;
      else counts.set(key, { row, nodes: 1 });
    }
  }
  return {
    columns: [...answers[0]!.columns, { name: "NODES" }],
    rows: [...counts.values()].map(({ row, nodes }) => [...row, `${nodes}/${answers.length}`]),
  };
}
