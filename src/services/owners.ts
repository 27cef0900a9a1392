// SPDX-License-Identifier: Apache-2.0
import type { Frontend } from "#services/service.ts";
import type { Transaction, WritableTable } from "#store/table.ts";

/** Who claims frontends. */
export interface Owner {
  /** A service's key, or a pod's with a word before it. */
  readonly name: string;
  /** Of two that claim one address and port, the one whose text sorts first has it. */
  readonly age: string;
}

/** Older ones first; of one second, by name. */
export function ageOfService(key: string, createdMs = 0): string {
  return `service ${String(createdMs).padStart(15, "0")} ${key}`;
}

/** After every service: of a Service and a hostPort that claim one address, the Service has it. */
export function ageOfPod(key: string): string {
  return `~pod ${key}`;
}

/**
 * What is redirected of a Service goes before the Service; of a redirected address and a Service that has it, the Service goes first, so
 * that nobody takes a foreign one's. Of two redirects the older one has it.
 */
export function ageOfRedirect(row: {
  readonly namespace: string;
  readonly name: string;
  readonly createdMs: number;
  readonly ofService: boolean;
}): string {
  const age = `${String(row.createdMs).padStart(15, "0")} ${row.namespace}/${row.name}`;
  return row.ofService ? `${ofItsService}${age}` : `~redirect ${age}`;
}

const ofItsService = "!redirect ";

interface Claims {
  readonly age: string;
  readonly rows: ReadonlyMap<string, Frontend>;
}

/** Who claims which frontends: the first by age has it, and its row names the others. */
export class Owners {
  readonly #table: WritableTable<Frontend>;
  readonly #byOwner = new Map<string, Claims>();
  /** Mostly one: no need of a collection that finds. */
  readonly #byFrontend = new Map<string, readonly string[]>();
  /** Rows of scope "local" that stand beside another owner's, by its key. */
  readonly #beside = new Map<string, string>();

  constructor(table: WritableTable<Frontend>) {
    this.#table = table;
  }

  set(tx: Transaction, { name, age }: Owner, rows: readonly Frontend[]): void {
    const before = this.#byOwner.get(name)?.rows;
    const now = new Map(rows.map((row) => [this.#table.keyOf(row), row]));
    if (now.size > 0) this.#byOwner.set(name, { age, rows: now });
    else this.#byOwner.delete(name);
    for (const key of now.keys()) {
      const claims = this.#byFrontend.get(key) ?? [];
      if (!claims.includes(name)) this.#byFrontend.set(key, [...claims, name]);
    }
    for (const key of before?.keys() ?? []) {
      if (now.has(key)) continue;
      this.#byFrontend.set(key, this.#byFrontend.get(key)?.filter((one) => one !== name) ?? []);
      this.#decide(tx, key);
    }
    for (const key of now.keys()) this.#decide(tx, key);
  }

  /** Whom a redirect passes on meets what would be without it. */
  #putBeside(tx: Transaction, key: string, row: Frontend | undefined): void {
    const beside = row && ({ ...row, scope: "local" } as const);
    const before = this.#beside.get(key);
    if (beside) {
      this.#beside.set(key, this.#table.keyOf(beside));
      tx.put(this.#table, beside);
    } else if (before !== undefined) {
      this.#beside.delete(key);
      tx.delete(this.#table, before);
    }
  }

  #decide(tx: Transaction, key: string): void {
    const claims = [...(this.#byFrontend.get(key) ?? [])];
    const age = (name: string) => this.#byOwner.get(name)?.age ?? "";
    if (claims.length > 1) claims.sort((a, b) => (age(a) < age(b) ? -1 : 1));
    const [winner, ...contested] = claims;
    const rowOf = (name: string | undefined) =>
      name === undefined ? undefined : this.#byOwner.get(name)?.rows.get(key);
    const row = rowOf(winner);
    this.#putBeside(
      tx,
      key,
      row?.passDenied ? contested.map(rowOf).find((one) => one?.type !== "LocalRedirect") : undefined,
    );
    if (row) {
      // A Service that is redirected is meant to be.
      const told = contested.length > 0 && !age(winner!).startsWith(ofItsService);
      tx.put(this.#table, told ? { ...row, contested: contested.sort() } : row);
    } else {
      this.#byFrontend.delete(key);
      tx.delete(this.#table, key);
    }
  }
}
