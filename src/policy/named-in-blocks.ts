// SPDX-License-Identifier: Apache-2.0
import type { Table } from "#store/table.ts";
import type { ReferencedPod } from "./named-blocks.ts";

/** Which policies look for names of ports in blocks of addresses, and what the pods are that have such a name. */
export class PodPorts {
  readonly #pods: Table<ReferencedPod>;
  readonly #byPolicy = new Map<string, readonly string[]>();
  readonly #texts = new Map<string, string>();
  #names: ReadonlySet<string> = new Set();

  constructor(pods: Table<ReferencedPod>) {
    this.#pods = pods;
  }

  /** Whether the policy looks for any. */
  set(policy: string, names: readonly string[]): boolean {
    if (names.length === 0 && !this.#byPolicy.delete(policy)) return false;
    if (names.length > 0) this.#byPolicy.set(policy, names);
    this.#names = new Set([...this.#byPolicy.values()].flat());
    this.#texts.clear();
    if (this.#names.size > 0) for (const row of this.#pods.all()) this.#note(this.#pods.keyOf(row));
    return names.length > 0;
  }

  policies(): string[] {
    return [...this.#byPolicy.keys()];
  }

  /** Whether any of these pods matters, by what it was or by what it is. */
  changed(pods: Iterable<string>): boolean {
    let any = false;
    if (this.#names.size > 0) for (const key of pods) any = this.#note(key) || any;
    return any;
  }

  #note(key: string): boolean {
    const row = this.#pods.get(key);
    const named = row?.namedPorts.filter(({ name }) => this.#names.has(name)) ?? [];
    const text = named.length > 0 ? JSON.stringify([row!.addresses, named]) : undefined;
    if (this.#texts.get(key) === text) return false;
    if (text === undefined) this.#texts.delete(key);
    else this.#texts.set(key, text);
    return true;
  }
}
