// SPDX-License-Identifier: Apache-2.0
import type { Database, Table, WritableTable } from "#store/table.ts";
import type { IpcacheEntry } from "./identity.ts";

/** Who wins when several sources speak of one prefix: the first. A pod's address is a pod's whatever a CIDR rule says of it. */
const precedence = ["host", "local", "endpoint", "node", "reserved", "cidr"];

/** The claim that counts; of equal sources the one with the lower identity, so that every agent picks the same. */
export function bestClaim(claims: Iterable<IpcacheEntry>): IpcacheEntry | undefined {
  let best: IpcacheEntry | undefined;
  for (const claim of claims) {
    if (!best) best = claim;
    else {
      const order = precedence.indexOf(claim.source) - precedence.indexOf(best.source);
      if (order < 0 || (order === 0 && claim.identity < best.identity)) best = claim;
    }
  }
  return best;
}

/** Keeps the desired ipcache equal to the best claims. Runs inside each commit: no delay, nothing to wait for. */
export function startIpcacheController(
  db: Database,
  claims: Table<IpcacheEntry>,
  ipcache: WritableTable<IpcacheEntry>,
): Disposable {
  const update = (changed: Iterable<string>) => {
    const prefixes = new Set<string>();
    for (const key of changed) prefixes.add(key.slice(key.indexOf(" ") + 1));
    db.write((tx) => {
      for (const prefix of prefixes) {
        const best = bestClaim(claims.by("prefix", prefix));
        if (best) tx.put(ipcache, best);
        else tx.delete(ipcache, prefix);
      }
    });
  };
  const existing = new Set<string>();
  for (const claim of claims.all()) existing.add(`${claim.source} ${claim.prefix}`);
  if (existing.size > 0) update(existing);
  const source = ipcache.source("claims");
  void claims.ready.then(() => source.synced());
  const stop = claims.onCommit(update);
  return { [Symbol.dispose]: () => stop() };
}
