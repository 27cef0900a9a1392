// SPDX-License-Identifier: Apache-2.0
import type { Identity } from "#identities/identity.ts";
import { labelText } from "#model/labels.ts";
import type { PeerIndex } from "./groups.ts";
import { peerMatches, peerText } from "./peer.ts";
import type { NamedPort, Peer } from "./rule.ts";

interface Watched {
  readonly peer: Peer;
  readonly identities: Set<number>;
}

/**
 * Which identities each peer of the policies in force means, kept up to date one identity at a time. What a change touches is
 * told as texts: `peerText` of a peer, `port:<name>` of a named port.
 */
export class IdentityIndex implements PeerIndex {
  readonly #identities = new Map<number, Identity>();
  readonly #watched = new Map<string, Watched>();
  readonly #ports = new Map<number, readonly NamedPort[]>();
  readonly #byPort = new Map<string, Set<number>>();

  /** A peer asked for the first time is matched against every identity, and kept up to date from then on. */
  matching(peer: Peer): ReadonlySet<number> {
    const key = peerText(peer);
    let watched = this.#watched.get(key);
    if (!watched) {
      watched = { peer, identities: new Set() };
      for (const { id, labels } of this.#identities.values())
        if (peerMatches(peer, labels)) watched.identities.add(id);
      this.#watched.set(key, watched);
    }
    return watched.identities;
  }

  withPort(name: string): Iterable<number> {
    return this.#byPort.get(name) ?? [];
  }

  portsOf(identity: number): readonly NamedPort[] {
    return this.#ports.get(identity) ?? [];
  }

  /** Adds an identity or changes its labels; returns the peers that mean it now and did not, or the other way round. */
  put(identity: Identity): string[] {
    const before = this.#identities.get(identity.id);
    if (identity.id === 0 || (before && labelText(before.labels) === labelText(identity.labels))) return [];
    this.#identities.set(identity.id, identity);
    const touched: string[] = [];
    for (const [key, { peer, identities }] of this.#watched) {
      const had = identities.has(identity.id);
      const has = peerMatches(peer, identity.labels);
      if (has === had) continue;
      touched.push(key);
      if (has) identities.add(identity.id);
      else identities.delete(identity.id);
    }
    return touched;
  }

  remove(id: number): string[] {
    if (!this.#identities.delete(id)) return [];
    const touched: string[] = [];
    for (const [key, { identities }] of this.#watched) if (identities.delete(id)) touched.push(key);
    return touched;
  }

  /** Sets the named ports of an identity's pods; returns the names it touches. */
  setPorts(identity: number, ports: readonly NamedPort[]): string[] {
    const unique = new Map(ports.map((port) => [`${port.name} ${port.proto} ${port.port}`, port]));
    const before = new Set(this.portsOf(identity).map((port) => `${port.name} ${port.proto} ${port.port}`));
    const touched = new Set<string>();
    for (const [key, { name }] of unique) if (!before.delete(key)) touched.add(name);
    for (const key of before) touched.add(key.slice(0, key.indexOf(" ")));
    for (const { name } of this.portsOf(identity)) this.#byPort.get(name)?.delete(identity);
    if (unique.size === 0) this.#ports.delete(identity);
    else this.#ports.set(identity, [...unique.values()]);
    for (const { name } of unique.values()) {
      const found = this.#byPort.get(name);
      if (found) found.add(identity);
      else this.#byPort.set(name, new Set([identity]));
    }
    return [...touched].map((name) => `port:${name}`);
  }

  /** Forgets the peers that no policy has any more. */
  retain(keys: ReadonlySet<string>): void {
    for (const key of this.#watched.keys()) if (!keys.has(key)) this.#watched.delete(key);
  }
}
