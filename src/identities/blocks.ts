// SPDX-License-Identifier: Apache-2.0
import { blockIdentityScope } from "#model/identity.ts";
import { contains, type Prefix, parsePrefix } from "#model/ip.ts";
import type { Labels } from "#model/labels.ts";
import type { Database, WritableTable } from "#store/table.ts";
import { localIdentity } from "./allocate.ts";
import type { Identity, IpcacheEntry } from "./identity.ts";

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
}

/** IPv4 addresses are IPv4-mapped in the map: without an entry of their own, ::/0 and its wide parts would take them in. */
const everyV4 = parsePrefix("0.0.0.0/0");

/**
 * Gives every prefix that ipBlocks of NetworkPolicies name a node-local identity and takes it back when none names it any more. An address has
 * it beside the identity of who has the address: a NetworkPolicy means pods and nodes in its blocks as well.
 */
export class BlockIdentities {
  readonly #deps: BlockIdentityDeps;
  readonly #ids = new Map<Prefix, number>();
  readonly #source: { synced(): void };

  constructor(deps: BlockIdentityDeps) {
    this.#deps = deps;
    this.#source = deps.blocks.source("policies");
  }

  /** Says that every policy there is has been asked: what an earlier agent left in the kernel is kept until then. */
  synced(): void {
    this.#source.synced();
  }

  /** The prefixes that policies in force need, all of them at once. */
  require(prefixes: ReadonlySet<Prefix>): void {
    const { db, identities, blocks } = this.#deps;
    db.write((tx) => {
      for (const [prefix, id] of this.#ids) {
        if (prefixes.has(prefix)) continue;
        tx.delete(identities, String(id));
        tx.delete(blocks, prefix);
        this.#ids.delete(prefix);
      }
      for (const prefix of prefixes) {
        const taken = (id: number) => identities.get(String(id)) !== undefined;
        const id = this.#ids.get(prefix) ?? localIdentity(prefix, taken, blockIdentityScope);
        this.#ids.set(prefix, id);
        tx.put(identities, { id, labels: blockLabels(prefix, prefixes) });
        tx.put(blocks, { prefix, identity: id, source: "block" });
      }
      if (prefixes.size === 0) tx.delete(blocks, everyV4);
      else if (!prefixes.has(everyV4)) tx.put(blocks, { prefix: everyV4, identity: 0, source: "block" });
    });
  }
}
