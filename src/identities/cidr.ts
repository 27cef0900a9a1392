// SPDX-License-Identifier: Apache-2.0
import { localIdentityScope, ReservedIdentity } from "#model/identity.ts";
import { contains, family, type Prefix, parsePrefix } from "#model/ip.ts";
import type { Labels } from "#model/labels.ts";
import type { Database, WritableTable } from "#store/table.ts";
import type { Identity, IpcacheEntry } from "./identity.ts";
import { PrefixIdentities, type PrefixOrder } from "./prefix-identities.ts";

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
  /** Absent: everything at once. */
  readonly order?: PrefixOrder;
}

/** IPv4 addresses are IPv4-mapped in the ipcache: without an entry of their own, ::/0 and its wide parts would take them in. */
const everyV4 = parsePrefix("0.0.0.0/0");

/** Gives every prefix that policies name a node-local identity and an ipcache entry; takes them back when none names it any more. */
export class CidrIdentities {
  readonly #prefixes: PrefixIdentities;
  readonly #source: { synced(): void };
  #required: ReadonlySet<Prefix> = new Set();
  #apiServers: ReadonlySet<Prefix> = new Set();

  constructor({ db, identities, claims, dualStack, order }: CidrIdentityDeps) {
    this.#source = claims.source("cidr");
    const everybody = dualStack ? ReservedIdentity.worldV4 : ReservedIdentity.world;
    db.write((tx) => tx.put(claims, { prefix: everyV4, identity: everybody, source: "reserved" }));
    this.#prefixes = new PrefixIdentities({
      db,
      identities,
      scope: localIdentityScope,
      labelsOf: (prefix, around) => {
        const labels = cidrLabels(prefix, around, dualStack);
        if (!this.#apiServers.has(prefix)) return labels;
        return new Map([...labels, ["reserved:kube-apiserver", ""]]);
      },
      announce: (tx, prefix, identity) => tx.put(claims, { prefix, identity, source: "cidr" }),
      withdraw: (tx, prefix) => tx.delete(claims, `cidr ${prefix}`),
      order,
    });
  }

  /** Says that every policy there is has been asked: what an earlier agent left in the kernel is kept until then. */
  synced(): void {
    this.#source.synced();
  }

  /** The prefixes that policies in force need, all of them at once. */
  require(prefixes: ReadonlySet<Prefix>): void {
    this.#required = prefixes;
    this.#prefixes.require(new Set([...prefixes, ...this.#apiServers]));
  }

  /** Addresses of API servers outside the cluster: parts of the world with a name of their own. */
  setApiServers(prefixes: ReadonlySet<Prefix>): void {
    const before = this.#apiServers;
    const others = [...prefixes, ...before].filter((one) => prefixes.has(one) !== before.has(one));
    if (others.length === 0) return;
    this.#apiServers = prefixes;
    this.#prefixes.require(new Set([...this.#required, ...prefixes]));
    this.#prefixes.relabel(others);
  }
}
