// SPDX-License-Identifier: Apache-2.0
import type { Frontend } from "#services/service.ts";
import type { Transaction, WritableTable } from "#store/table.ts";

/** Who claims which frontends: of two that claim one address and port, the first by name has it. */
export class Owners {
  readonly #table: WritableTable<Frontend>;
  readonly #byOwner = new Map<string, Map<string, Frontend>>();
  readonly #byFrontend = new Map<string, Set<string>>();

  constructor(table: WritableTable<Frontend>) {
    this.#table = table;
  }

  set(tx: Transaction, owner: string, rows: readonly Frontend[]): void {
    const before = this.#byOwner.get(owner);
    const now = new Map(rows.map((row) => [this.#table.keyOf(row), row]));
    if (now.size > 0) this.#byOwner.set(owner, now);
    else this.#byOwner.delete(owner);
    for (const key of before?.keys() ?? []) if (!now.has(key)) this.#byFrontend.get(key)?.delete(owner);
    for (const key of now.keys()) {
      const claims = this.#byFrontend.get(key);
      if (claims) claims.add(owner);
      else this.#byFrontend.set(key, new Set([owner]));
    }
    for (const key of new Set([...(before?.keys() ?? []), ...now.keys()])) this.#decide(tx, key);
  }

  #decide(tx: Transaction, key: string): void {
    const claims = this.#byFrontend.get(key);
    const winner = claims && [...claims].sort()[0];
    const row = winner === undefined ? undefined : this.#byOwner.get(winner)?.get(key);
    if (row) {
      tx.put(this.#table, row);
    } else {
      this.#byFrontend.delete(key);
      tx.delete(this.#table, key);
    }
  }
}
