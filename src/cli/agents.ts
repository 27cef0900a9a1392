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
  if (merge) return mergeGrids(answers);
  return {
    columns: [{ name: "NODE" }, ...answers[0]!.grid.columns],
    rows: answers.flatMap(({ node, grid }) => grid.rows.map((row) => [node, ...row])),
  };
}

const byNumber = new Intl.Collator("en", { numeric: true });

/** `2/3`: two of three nodes have the row; where one alone has it, its name. By the first column. */
function mergeGrids(answers: readonly { readonly node: string; readonly grid: Grid }[]): Grid {
  const known = new Map<string, { readonly row: Grid["rows"][number]; readonly nodes: string[] }>();
  for (const { node, grid } of answers) {
    for (const row of grid.rows) {
      const key = JSON.stringify(row);
      const one = known.get(key) ?? { row, nodes: [] };
      one.nodes.push(node);
      known.set(key, one);
    }
  }
  const rows = [...known.values()].map(({ row, nodes }) => [
    ...row,
    nodes.length === 1 ? nodes[0]! : `${nodes.length}/${answers.length}`,
  ]);
  return {
    columns: [...answers[0]!.grid.columns, { name: "NODES" }],
    rows: rows.sort((a, b) => byNumber.compare(String(a[0]), String(b[0]))),
  };
}
