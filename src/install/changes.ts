// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";
import { isTree, type Tree } from "./values-merge.ts";

export interface Change {
  /** `config.routing`. */
  readonly path: string;
  readonly from: unknown;
  readonly to: unknown;
}

/** Values that differ, in the order of their paths. */
export function changedValues(from: Tree, to: Tree, prefix = ""): Change[] {
  const keys = [...new Set([...Object.keys(from), ...Object.keys(to)])].sort();
  return keys.flatMap((key) => {
    const [a, b] = [from[key], to[key]];
    if (isTree(a) && isTree(b)) return changedValues(a, b, `${prefix}${key}.`);
    return JSON.stringify(a) === JSON.stringify(b) ? [] : [{ path: `${prefix}${key}`, from: a, to: b }];
  });
}

/** What running pods do not survive, and why. Everything else is changed node by node without them noticing. */
const disruptive: Readonly<Record<string, string>> = {
  "config.routing":
    "until every agent has restarted, nodes with the old and the new routing cannot reach each other's pods",
  "config.families": "running pods keep the addresses they have; they have to be recreated",
  "config.ipam": "nodes get other pod CIDRs; running pods keep their old addresses and have to be recreated",
  "config.clusterName":
    "every identity changes; until every agent has restarted, policies do not know the pods of other nodes",
};

/**
 * Refuses what breaks connections, unless that is accepted.
 * @throws WeftError E_DISRUPTIVE naming each value and what would happen
 */
export function checkChanges(changes: readonly Change[], allowDisruption: boolean): void {
  const bad = changes.filter(({ path }) => Object.hasOwn(disruptive, path));
  if (bad.length === 0 || allowDisruption) return;
  const lines = bad.map(
    ({ path, from, to }) => `${path} ${JSON.stringify(from)} → ${JSON.stringify(to)}: ${disruptive[path]}`,
  );
  throw new WeftError("E_DISRUPTIVE", `this interrupts the cluster's network: ${lines.join("; ")}`, {
    hint: "say --allow-disruption if you mean it",
  });
}

/** @throws WeftError E_DOWNGRADE when the cluster runs a newer version */
export function checkVersion(installed: string, wanted: string, allowDowngrade: boolean): void {
  if (allowDowngrade || compareVersions(installed, wanted) <= 0) return;
  throw new WeftError("E_DOWNGRADE", `the cluster runs Weft ${installed}, this command brings ${wanted}`, {
    hint: "use the command of that version, or say --allow-downgrade",
  });
}

/** Negative when `a` is older. A pre-release is older than its release. */
export function compareVersions(a: string, b: string): number {
  const [mainA = "", preA] = a.split(/[-+]/, 2);
  const [mainB = "", preB] = b.split(/[-+]/, 2);
  const numbers = (text: string) => text.split(".").map((part) => Number(part) || 0);
  const [left, right] = [numbers(mainA), numbers(mainB)];
  for (let at = 0; at < 3; at++) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0);
    if (difference !== 0) return difference;
  }
  if (preA === preB) return 0;
  if (preA === undefined) return 1;
  return preB === undefined || preA < preB ? -1 : 1;
}
