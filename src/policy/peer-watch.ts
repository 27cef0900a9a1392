// SPDX-License-Identifier: Apache-2.0
import { type Address, type Prefix, prefixAddress, prefixBits, prefixOf } from "#model/ip.ts";
import type { Labels } from "#model/labels.ts";
import { SelectorIndex } from "./label-index.ts";
import { peerText } from "./peer.ts";
import type { Peer, Selector } from "./rule.ts";

/** Peers by what an identity must have to be meant by them: a change of labels asks only those it may concern. */
export class PeerWatch {
  readonly #selectors = new SelectorIndex<string>();
  readonly #byPrefix = new Map<string, Set<string>>();

  add(peer: Peer): void {
    const text = peerText(peer);
    if (peer.kind === "selector" || peer.kind === "entity") {
      this.#selectors.add(text, peer.kind === "selector" ? peer.selector : entitySelector(peer.entity));
      return;
    }
    // The widest prefix also means the world's own identity, which has no prefix.
    if (prefixBits(peer.prefix) === 0) this.#selectors.add(text, { requirements: [] });
    const key = `${peer.kind}:${peer.prefix}`;
    this.#byPrefix.set(key, (this.#byPrefix.get(key) ?? new Set()).add(text));
  }

  delete(peer: Peer): void {
    const text = peerText(peer);
    this.#selectors.delete(text);
    if (peer.kind !== "cidr" && peer.kind !== "block") return;
    const key = `${peer.kind}:${peer.prefix}`;
    const found = this.#byPrefix.get(key);
    if (found?.delete(text) && found.size === 0) this.#byPrefix.delete(key);
  }

  /** Texts of all peers that may mean an identity of these labels, and some more. */
  candidates(labels: Labels): Set<string> {
    const found = new Set(this.#selectors.candidates(labels));
    const seen = new Set<string>();
    for (const key of labels.keys()) {
      const kind = key.startsWith("cidr:") ? "cidr" : key.startsWith("block:") ? "block" : undefined;
      if (!kind || seen.has(key)) continue;
      for (const around of prefixesAround(key.slice(kind.length + 1) as Prefix)) {
        seen.add(`${kind}:${around}`);
        for (const text of this.#byPrefix.get(`${kind}:${around}`) ?? []) found.add(text);
      }
    }
    return found;
  }
}

/** Of the entity's own label, where it has one. */
function entitySelector(entity: string): Selector {
  const wide = ["all", "cluster", "world", "world-ipv4", "world-ipv6"].includes(entity);
  return { requirements: wide ? [] : [{ key: `reserved:${entity}`, operator: "Exists", values: [] }] };
}

/** Every prefix that the given one lies in, itself included. */
function* prefixesAround(prefix: Prefix): Iterable<Prefix> {
  const address: Address = prefixAddress(prefix);
  for (let bits = prefixBits(prefix); bits >= 0; bits--) yield prefixOf(address, bits);
}
