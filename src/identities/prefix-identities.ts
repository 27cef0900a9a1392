// SPDX-License-Identifier: Apache-2.0
import { addressBytes, type Prefix, prefixAddress, prefixBits128 } from "#model/ip.ts";
import type { Labels } from "#model/labels.ts";
import type { Database, Transaction, WritableTable } from "#store/table.ts";
import { localIdentity } from "./allocate.ts";
import type { Identity } from "./identity.ts";

/**
 * The order in which packets and policies learn of a prefix: packets get its identity when the policies in the kernel know it, and policies
 * forget it when no packet has it any more. In between, and otherwise, a packet is judged by the prefix around it, as before.
 */
export interface PrefixOrder {
  /** Calls back when the policies in the kernel know the identity: at once, or later. */
  whenKnown(identity: number, then: () => void): void;
  /** Resolves when the kernel does not have any more what was taken away under the prefix. */
  withdrawn(prefix: Prefix): Promise<void>;
}

export interface PrefixIdentityDeps {
  readonly db: Database;
  readonly identities: WritableTable<Identity>;
  /** Of the numbers: see `model/identity.ts`. */
  readonly scope: number;
  /** Of the addresses that have `prefix` as their longest one; `around`: those that cover it, itself included. */
  labelsOf(prefix: Prefix, around: readonly Prefix[]): Labels;
  /** Gives packets the identity. */
  announce(tx: Transaction, prefix: Prefix, identity: number): void;
  /** Takes it back. */
  withdraw(tx: Transaction, prefix: Prefix): void;
  /** Absent: everything at once. */
  readonly order?: PrefixOrder | undefined;
}

interface Held {
  readonly id: number;
  readonly bytes: Uint8Array;
  readonly bits: number;
  wanted: boolean;
}

/** Gives prefixes node-local identities for as long as policies name them, one change at a time. */
export class PrefixIdentities {
  readonly #deps: PrefixIdentityDeps;
  readonly #held = new Map<Prefix, Held>();

  constructor(deps: PrefixIdentityDeps) {
    this.#deps = deps;
  }

  /** All that policies name by now. */
  require(prefixes: ReadonlySet<Prefix>): void {
    const { db, order } = this.#deps;
    const added: Prefix[] = [];
    const unwanted: Prefix[] = [];
    db.write((tx) => {
      for (const [prefix, held] of this.#held) {
        if (prefixes.has(prefix) || !held.wanted) continue;
        held.wanted = false;
        this.#deps.withdraw(tx, prefix);
        unwanted.push(prefix);
      }
      for (const prefix of prefixes) {
        const held = this.#held.get(prefix);
        if (held?.wanted) continue;
        if (!held) added.push(prefix);
        this.#held.set(prefix, held ? { ...held, wanted: true } : this.#take(prefix));
        if (held) this.#announce(prefix);
      }
      this.#label(tx, added);
      if (!order) this.#forget(tx, unwanted);
    });
    for (const prefix of added) this.#announce(prefix);
    if (order) for (const prefix of unwanted) void this.#forgetLater(prefix, order);
  }

  /** Says that `labelsOf` says something else of these prefixes now. */
  relabel(prefixes: Iterable<Prefix>): void {
    this.#deps.db.write((tx) => {
      for (const prefix of prefixes) {
        const held = this.#held.get(prefix);
        if (held) this.#put(tx, prefix, held);
      }
    });
  }

  #take(prefix: Prefix): Held {
    const { identities, scope } = this.#deps;
    const own = new Set(Array.from(this.#held.values(), ({ id }) => id));
    const taken = (id: number) => own.has(id) || identities.get(String(id)) !== undefined;
    return {
      id: localIdentity(prefix, taken, scope),
      bytes: addressBytes(prefixAddress(prefix)),
      bits: prefixBits128(prefix),
      wanted: true,
    };
  }

  #announce(prefix: Prefix): void {
    const { db, order, announce } = this.#deps;
    const held = this.#held.get(prefix)!;
    const then = () => {
      if (this.#held.get(prefix) === held && held.wanted) db.write((tx) => announce(tx, prefix, held.id));
    };
    if (order) order.whenKnown(held.id, then);
    else then();
  }

  async #forgetLater(prefix: Prefix, order: PrefixOrder): Promise<void> {
    const held = this.#held.get(prefix);
    // What cannot be taken out of the kernel still has its identity: it stays in the policies.
    const gone = await order.withdrawn(prefix).then(
      () => true,
      () => false,
    );
    if (gone && held && this.#held.get(prefix) === held && !held.wanted)
      this.#deps.db.write((tx) => this.#forget(tx, [prefix]));
  }

  #forget(tx: Transaction, prefixes: readonly Prefix[]): void {
    const gone = prefixes.map((prefix) => [prefix, this.#held.get(prefix)!] as const);
    for (const [prefix, { id }] of gone) {
      this.#held.delete(prefix);
      tx.delete(this.#deps.identities, String(id));
    }
    const inside = [...this.#held].filter(([, held]) => gone.some(([, outer]) => covers(outer, held)));
    for (const [prefix, held] of inside) this.#put(tx, prefix, held);
  }

  /** New prefixes, and those inside them, which have one more around them. */
  #label(tx: Transaction, added: readonly Prefix[]): void {
    const fresh = added.map((prefix) => this.#held.get(prefix)!);
    for (const [prefix, held] of this.#held)
      if (fresh.some((outer) => covers(outer, held))) this.#put(tx, prefix, held);
  }

  #put(tx: Transaction, prefix: Prefix, held: Held): void {
    const around: Prefix[] = [];
    for (const [other, outer] of this.#held) if (covers(outer, held)) around.push(other);
    tx.put(this.#deps.identities, { id: held.id, labels: this.#deps.labelsOf(prefix, around) });
  }
}

/** `contains` of numbers, for many at a time. IPv4 prefixes are no parts of IPv6 ones around the mapped addresses. */
function covers(outer: Held, inner: Held): boolean {
  if (outer.bits > inner.bits || isV4(outer) !== isV4(inner)) return false;
  const whole = outer.bits >>> 3;
  for (let i = 0; i < whole; i++) if (outer.bytes[i] !== inner.bytes[i]) return false;
  const rest = outer.bits & 7;
  return rest === 0 || (outer.bytes[whole]! ^ inner.bytes[whole]!) >>> (8 - rest) === 0;
}

function isV4({ bytes, bits }: Held): boolean {
  return (
    bits >= 96 &&
    bytes[10] === 0xff &&
    bytes[11] === 0xff &&
    bytes.subarray(0, 10).every((byte) => byte === 0)
  );
}
