// SPDX-License-Identifier: Apache-2.0
import { type Address, family, type Prefix, prefixBits, prefixOf } from "#model/ip.ts";
import type { Node } from "#nodes/node.ts";
import type { IsGone, LedSocket } from "#services/end-sockets.ts";
import { type Frontend, tupleText } from "#services/service.ts";
import type { FrontendId } from "#services/table.ts";
import type { Changes, Table } from "#store/table.ts";

export interface BackendTables {
  readonly frontends: Table<Frontend>;
  readonly frontendIds: Table<FrontendId>;
  /** The pods of all nodes that have an address of their own, with an index `address`. */
  readonly pods: Table<unknown>;
  /** With an index `address`. */
  readonly nodes: Table<Pick<Node, "podCidrs">>;
}

export interface BackendChanges {
  readonly frontends: Changes<Frontend>;
  readonly frontendIds: Changes<FrontendId>;
  readonly nodes: Changes<Pick<Node, "podCidrs">>;
}

/** Whose sockets are to be told now. */
export interface Gone {
  /** `FRONTEND-ID BACKEND`. */
  readonly backends: ReadonlySet<string>;
  /** Left a service earlier; now their pod or node is gone, too. */
  readonly addresses: ReadonlySet<Address>;
}

const TCP = 6;

interface Known {
  readonly id: number;
  readonly row: Frontend;
}

/** Which backends services led to, and which of them are gone for their sockets. */
export class GoneBackends {
  readonly #tables: BackendTables;
  readonly #known = new Map<string, Known>();
  /** Addresses that left a service while their pod or node is still there. */
  readonly #leaving = new Set<Address>();
  readonly #podCidrs = new PrefixSet();

  constructor(tables: BackendTables) {
    this.#tables = tables;
  }

  take(changes: BackendChanges): Gone {
    for (const { row } of changes.nodes.values())
      for (const prefix of row.podCidrs) this.#podCidrs.add(prefix);
    const concerned = new Set(changes.frontends.keys());
    for (const { row } of changes.frontendIds.values()) concerned.add(row.frontend);
    const backends = new Set<string>();
    for (const key of concerned) this.#takeFrontend(key, backends);
    const addresses = new Set([...this.#leaving].filter((address) => !this.#exists(address)));
    return { backends, addresses };
  }

  /** Their sockets need no look any more. */
  forget(addresses: Iterable<Address>): void {
    for (const address of addresses) this.#leaving.delete(address);
  }

  /** Whether its service leads there as things are at this call. */
  leadsTo(): (socket: LedSocket) => boolean {
    const now = new Map([...this.#known.values()].map(({ id, row }) => [id, row]));
    const asked = new Map<number, ReadonlyMap<string, Address>>();
    return ({ frontend, backend }) => {
      const backends = asked.get(frontend) ?? backendsOf(now.get(frontend));
      asked.set(frontend, backends);
      return backends.has(backend);
    };
  }

  /** Of a socket whose service does not lead there, when nothing is known of how that came about. */
  readonly isLost: IsGone = ({ proto, address }) => {
    if (proto !== TCP) return true;
    if (!this.#exists(address)) return this.#podCidrs.covers(address);
    this.#leaving.add(address);
    return false;
  };

  #takeFrontend(key: string, gone: Set<string>): void {
    const before = this.#known.get(key);
    const row = this.#tables.frontends.get(key);
    const id = [...this.#tables.frontendIds.by("frontend", key)][0]?.id ?? before?.id;
    if (before && before.row !== row) {
      const backends = backendsOf(row);
      for (const [backend, address] of backendsOf(before.row))
        if (!backends.has(backend)) {
          if (!backend.endsWith("/TCP")) gone.add(`${before.id} ${backend}`);
          else if (this.#exists(address)) this.#leaving.add(address);
          else if (this.#podCidrs.covers(address)) gone.add(`${before.id} ${backend}`);
        }
    }
    if (row && id !== undefined) this.#known.set(key, { id, row });
    else this.#known.delete(key);
  }

  #exists(address: Address): boolean {
    const has = (table: Table<unknown>) => !table.by("address", address)[Symbol.iterator]().next().done;
    return has(this.#tables.pods) || has(this.#tables.nodes);
  }
}

/** Whom a frontend's sockets may talk to, by {@link tupleText}; TCP connections to one that drains go on. */
function backendsOf(row: Frontend | undefined): ReadonlyMap<string, Address> {
  if (!row) return new Map();
  const kept = row.proto === TCP ? [...row.backends, ...(row.draining ?? [])] : row.backends;
  return new Map(kept.map((backend) => [tupleText(backend), backend.address]));
}

/** Whose pods an address may be: pod CIDRs of all nodes there have been, for a node's pods may be known to go after it. */
class PrefixSet {
  readonly #prefixes = new Set<Prefix>();
  readonly #bits = { 4: new Set<number>(), 6: new Set<number>() };

  add(prefix: Prefix): void {
    this.#prefixes.add(prefix);
    this.#bits[family(prefix)].add(prefixBits(prefix));
  }

  covers(address: Address): boolean {
    return [...this.#bits[family(address)]].some((bits) => this.#prefixes.has(prefixOf(address, bits)));
  }
}
