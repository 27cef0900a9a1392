// SPDX-License-Identifier: Apache-2.0
import type { Health } from "#lib/health.ts";
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

/** Whether policies in the kernel may lack an identity: see `known.ts`. */
export interface KnownIdentities {
  isKnown(identity: number): boolean;
  whenKnown(identity: number, then: () => void): void;
}

/** Who is let in when the map is nearly full: what the node cannot do without. */
const critical = new Set(["host", "local", "apiserver", "node", "reserved"]);

export interface IpcacheOptions {
  readonly known?: KnownIdentities;
  /** Entries that pods elsewhere and CIDRs may fill it up to; the rest is kept for nodes, API servers and this node's own. */
  readonly room?: number;
  readonly health?: Health;
}

/**
 * Keeps the desired ipcache equal to the best claims. Runs inside each commit: no delay, nothing to wait for; but that an address gets a
 * new identity only when the policies in the kernel know it. Until then it has the one it had.
 */
export function startIpcacheController(
  db: Database,
  claims: Table<IpcacheEntry>,
  ipcache: WritableTable<IpcacheEntry>,
  { known, room = Number.POSITIVE_INFINITY, health }: IpcacheOptions = {},
): Disposable {
  /** Prefixes there is no room for. */
  const outside = new Set<string>();
  const waiting = new Set<string>();
  const source = ipcache.source("claims");
  let synced = false;
  let told = false;
  const checkSynced = () => {
    if (synced || !claims.isReady || waiting.size > 0) return;
    synced = true;
    source.synced();
  };
  const wait = (prefix: string, identity: number) => {
    waiting.add(prefix);
    known!.whenKnown(identity, () => {
      if (waiting.delete(prefix)) write([prefix]);
      checkSynced();
    });
  };
  const write = (prefixes: Iterable<string>) => {
    const later: [string, number][] = [];
    db.write((tx) => {
      for (const prefix of prefixes) {
        const best = bestClaim(claims.by("prefix", prefix));
        waiting.delete(prefix);
        outside.delete(prefix);
        if (!best) tx.delete(ipcache, prefix);
        else if (ipcache.size >= room && !critical.has(best.source) && !ipcache.get(prefix))
          outside.add(prefix);
        else if (!known || known.isKnown(best.identity) || ipcache.get(prefix)?.identity === best.identity)
          tx.put(ipcache, best);
        else later.push([prefix, best.identity]);
      }
    });
    for (const [prefix, identity] of later) wait(prefix, identity);
    const crowded = outside.size > 0;
    if (crowded && ipcache.size < room) write([...outside].slice(0, room - ipcache.size));
    else if (crowded || told) {
      told = crowded;
      const message = `${outside.size} address(es) of pods or CIDRs are not in the ipcache: ${ipcache.size} entries, room for ${room}`;
      health?.set("ipcache", crowded ? "degraded" : "ok", crowded ? message : "");
    }
  };
  const update = (changed: Iterable<string>) => {
    const prefixes = new Set<string>();
    for (const key of changed) prefixes.add(key.slice(key.indexOf(" ") + 1));
    write(prefixes);
  };
  const existing = new Set<string>();
  for (const claim of claims.all()) existing.add(`${claim.source} ${claim.prefix}`);
  if (existing.size > 0) update(existing);
  void claims.ready.then(checkSynced);
  const stop = claims.onCommit(update);
  return { [Symbol.dispose]: () => stop() };
}
