// SPDX-License-Identifier: Apache-2.0
import type { NodePolicy } from "#api/crd/node-policy-status.ts";
import type { PolicyCondition } from "#policy/condition.ts";
import { roughly } from "#policy/node-status.ts";

/** The condition that speaks for the cluster as a whole; `Valid` is about the object alone. */
export const enforcedType = "weft.io/Enforced";

/** What one node says of a policy. */
export interface NodeWord {
  readonly node: string;
  readonly said: NodePolicy;
}

/** Nodes that are named; of more there is only told how many. */
const named = 5;

/**
 * What all nodes' words come to. Pure; figures are told to two digits, so that it changes when there is something new to say.
 * @param valid the condition `Valid`, as far as it is known
 */
export function enforcedCondition(words: readonly NodeWord[], valid: string | undefined): PolicyCondition {
  const say = (status: string, reason: string, ...parts: readonly string[]): PolicyCondition => ({
    type: enforcedType,
    status,
    reason,
    message: parts.filter((part) => part !== "").join("; "),
  });
  const cost = costText(words);
  if (valid === "False")
    return say("False", "NotValid", "as it is written it is in force nowhere: see Valid", cost);
  const refusing = words.filter(({ said }) => said.refused !== undefined).sort(byName);
  if (refusing.length > 0) return say("False", "TooLarge", refusalText(refusing), cost);
  if (words.length === 0) return say("True", "SelectsNothing", "selects nothing on any node");
  return say("True", "InForce", cost);
}

function byName(a: NodeWord, b: NodeWord): number {
  return a.node < b.node ? -1 : 1;
}

function refusalText([first, ...others]: readonly NodeWord[]): string {
  const also = others.length === 0 ? "" : `; so say ${list(others.map(({ node }) => node))}`;
  return `as it was last written it is not in force on node ${first!.node}: ${first!.said.refused}${also}`;
}

function costText(words: readonly NodeWord[]): string {
  const selecting = words.filter(({ said }) => said.selects > 0);
  if (selecting.length === 0) return "";
  const costly = selecting
    .filter(({ said }) => said.entries > 0)
    .sort((a, b) => b.said.entries - a.said.entries || byName(a, b));
  const selects = roughly(selecting.reduce((sum, { said }) => sum + said.selects, 0));
  const entries = roughly(costly.reduce((sum, { said }) => sum + said.entries, 0));
  const where = list(costly.map(({ node, said }) => `${node} ${said.entries}`));
  return [
    `selects ${selects} endpoint${selects === 1 ? "" : "s"} on ${selecting.length} node${selecting.length === 1 ? "" : "s"}`,
    `takes part in ${entries} map entries${where === "" ? "" : ` (${where})`}`,
  ].join(", ");
}

function list(texts: readonly string[]): string {
  const more = texts.length - named;
  return more > 0 ? `${texts.slice(0, named).join(", ")} and ${more} more` : texts.join(", ");
}
