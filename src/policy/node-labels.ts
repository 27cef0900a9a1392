// SPDX-License-Identifier: Apache-2.0
import type { Database, Table, WritableTable } from "#store/table.ts";
import type { Rule } from "./rule.ts";
import type { PolicyRow } from "./table.ts";

const ofNodes: readonly string[] = ["reserved:remote-node", "reserved:host"];

/** Keys of the labels, with source, by which peers tell nodes apart. */
export function nodeLabelKeys(rules: readonly Rule[]): Set<string> {
  const found = new Set<string>();
  for (const { peers = [] } of rules) {
    for (const peer of peers) {
      if (peer.kind !== "selector") continue;
      const keys = peer.selector.requirements.map(({ key }) => key);
      if (!keys.some((key) => ofNodes.includes(key))) continue;
      for (const key of keys)
        if (/^(k8s|any):/.test(key)) found.add(`k8s:${key.slice(key.indexOf(":") + 1)}`);
    }
  }
  return found;
}

export interface FollowNodeLabelsDeps {
  readonly db: Database;
  readonly policies: Table<PolicyRow>;
  /** Written. */
  readonly labelKeys: WritableTable<{ readonly key: string }>;
}

/** Keeps the labels that policies ask of nodes equal to those their peers name. Runs inside the commits that bring the news. */
export function followNodeLabels({ db, policies, labelKeys }: FollowNodeLabelsDeps): Disposable {
  const byPolicy = new Map<string, ReadonlySet<string>>();
  const update = (changed: Iterable<string>) => {
    let differs = false;
    for (const key of changed) {
      const now = nodeLabelKeys(policies.get(key)?.rules ?? []);
      if (now.size === 0 && !byPolicy.has(key)) continue;
      differs = true;
      if (now.size === 0) byPolicy.delete(key);
      else byPolicy.set(key, now);
    }
    if (!differs) return;
    const wanted = new Set([...byPolicy.values()].flatMap((keys) => [...keys]));
    db.write((tx) => {
      for (const { key } of labelKeys.all()) if (!wanted.has(key)) tx.delete(labelKeys, key);
      for (const key of wanted) tx.put(labelKeys, { key });
    });
  };
  update([...policies.all()].map((row) => policies.keyOf(row)));
  const source = labelKeys.source("policies");
  void policies.ready.then(() => source.synced());
  const stop = policies.onCommit(update);
  return { [Symbol.dispose]: () => stop() };
}
