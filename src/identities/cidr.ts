// SPDX-License-Identifier: Apache-2.0
import { ReservedIdentity } from "#model/identity.ts";
import { contains, family, type Prefix, parsePrefix } from "#model/ip.ts";
import type { Labels } from "#model/labels.ts";
import type { Database, Transaction, WritableTable } from "#store/table.ts";
import { localIdentity } from "./allocate.ts";
import type { Identity, IpcacheEntry } from "./identity.ts";
import { claimKey } from "./table.ts";

/**
 * Labels of the addresses that have `prefix` as their longest prefix among those policies speak of: the prefix, every one
 * that covers it, and the world.
 */
export function cidrLabels(prefix: Prefix, all: Iterable<Prefix>, dualStack: boolean): Labels {
  const labels = new Map<string, string>();
  for (const other of all) if (contains(other, prefix)) labels.set(`cidr:${other}`, "");
  labels.set("reserved:world", "");
  if (dualStack) labels.set(`reserved:world-ipv${family(prefix)}`, "");
  return labels;
}

export interface CidrIdentityDeps {
  readonly db: Database;
  readonly identities: WritableTable<Identity>;
  readonly claims: WritableTable<IpcacheEntry>;
  readonly dualStack: boolean;
}

/** IPv4 addresses are IPv4-mapped in the ipcache: without an entry of their own, ::/0 and its wide parts would take them in. */
const everyV4 = parsePrefix("0.0.0.0/0");

/** Gives every prefix that policies name a node-local identity and an ipcache entry; takes them back when none names it any more. */
export class CidrIdentities {
  readonly #deps: CidrIdentityDeps;
  readonly #ids = new Map<Prefix, number>();
  readonly #source: { synced(): void };
  #required: ReadonlySet<Prefix> = new Set();
  #apiServers: ReadonlySet<Prefix> = new Set();

  constructor(deps: CidrIdentityDeps) {
    this.#deps = deps;
    this.#source = deps.claims.source("cidr");
    const { db, claims, dualStack } = deps;
    const identity = dualStack ? ReservedIdentity.worldV4 : ReservedIdentity.world;
    db.write((tx) => tx.put(claims, { prefix: everyV4, identity, source: "reserved" }));
  }

  /** Says that every policy there is has been asked: what an earlier agent left in the kernel is kept until then. */
  synced(): void {
    this.#source.synced();
  }

  /** The prefixes that policies in force need, all of them at once. */
  require(prefixes: ReadonlySet<Prefix>): void {
    this.#required = prefixes;
    this.#update();
  }

  /** Addresses of API servers outside the cluster: parts of the world with a name of their own. */
  setApiServers(prefixes: ReadonlySet<Prefix>): void {
    const same =
      prefixes.size === this.#apiServers.size && [...prefixes].every((one) => this.#apiServers.has(one));
    if (same) return;
    this.#apiServers = prefixes;
    this.#update();
  }

  #update(): void {
    const { db, identities, claims } = this.#deps;
    const prefixes = new Set([...this.#required, ...this.#apiServers]);
    db.write((tx) => {
      for (const [prefix, id] of this.#ids) {
        if (prefixes.has(prefix)) continue;
        tx.delete(identities, String(id));
        tx.delete(claims, `cidr ${prefix}`);
        this.#ids.delete(prefix);
      }
      for (const prefix of prefixes) this.#add(tx, prefix, prefixes);
    });
  }

  #add(tx: Transaction, prefix: Prefix, all: ReadonlySet<Prefix>): void {
    const { identities, claims, dualStack } = this.#deps;
    let id = this.#ids.get(prefix);
    if (id === undefined) {
      id = localIdentity(prefix, (candidate) => identities.get(String(candidate)) !== undefined);
      this.#ids.set(prefix, id);
      const claim: IpcacheEntry = { prefix, identity: id, source: "cidr" };
      if (!claims.get(claimKey(claim))) tx.put(claims, claim);
    }
    const labels = new Map(cidrLabels(prefix, all, dualStack));
    if (this.#apiServers.has(prefix)) labels.set("reserved:kube-apiserver", "");
    tx.put(identities, { id, labels });
  }
}
