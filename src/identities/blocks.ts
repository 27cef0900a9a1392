// SPDX-License-Identifier: Apache-2.0
import { blockIdentityScope } from "#model/identity.ts";
import { contains, type Prefix, parsePrefix } from "#model/ip.ts";
import type { Labels } from "#model/labels.ts";
import type { Database, WritableTable } from "#store/table.ts";
import type { Identity, IpcacheEntry } from "./identity.ts";
import { PrefixIdentities, type PrefixOrder } from "./prefix-identities.ts";

/** Labels of the addresses that have `prefix` as their longest prefix among those blocks name: the prefix and every one that covers it. */
export function blockLabels(prefix: Prefix, all: Iterable<Prefix>): Labels {
  const labels = new Map<string, string>();
  for (const other of all) if (contains(other, prefix)) labels.set(`block:${other}`, "");
  return labels;
}

export interface BlockIdentityDeps {
  readonly db: Database;
  readonly identities: WritableTable<Identity>;
  /** Desired content of the blocks map: address → identity, beside the ipcache, which says who has the address. */
  readonly blocks: WritableTable<IpcacheEntry>;
  /** Absent: everything at once. */
  readonly order?: PrefixOrder;
}

/** IPv4 addresses are IPv4-mapped in the map: without an entry of their own, ::/0 and its wide parts would take them in. */
const everyV4 = parsePrefix("0.0.0.0/0");

/**
 * Gives every prefix that ipBlocks of NetworkPolicies name a node-local identity and takes it back when none names it any more. An address has
 * it beside the identity of who has the address: a NetworkPolicy means pods and nodes in its blocks as well.
 */
export class BlockIdentities {
  readonly #deps: BlockIdentityDeps;
  readonly #prefixes: PrefixIdentities;
  readonly #source: { synced(): void };

  constructor(deps: BlockIdentityDeps) {
    const { db, identities, blocks, order } = deps;
    this.#deps = deps;
    this.#source = blocks.source("policies");
    this.#prefixes = new PrefixIdentities({
      db,
      identities,
      scope: blockIdentityScope,
      labelsOf: blockLabels,
      announce: (tx, prefix, identity) => tx.put(blocks, { prefix, identity, source: "block" }),
      withdraw: (tx, prefix) => tx.delete(blocks, prefix),
      order,
    });
  }

  /** Says that every policy there is has been asked: what an earlier agent left in the kernel is kept until then. */
  synced(): void {
    this.#source.synced();
  }

  /** The prefixes that policies in force need, all of them at once. */
  require(prefixes: ReadonlySet<Prefix>): void {
    const { db, blocks } = this.#deps;
    const nobody = () => db.write((tx) => tx.put(blocks, { prefix: everyV4, identity: 0, source: "block" }));
    const needed = prefixes.size > 0 && !prefixes.has(everyV4);
    // Before any wider one is there, and as long as one is.
    if (needed) nobody();
    this.#prefixes.require(prefixes);
    if (needed) nobody();
    else if (prefixes.size === 0) db.write((tx) => tx.delete(blocks, everyV4));
  }
}
