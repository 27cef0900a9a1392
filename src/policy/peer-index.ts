// SPDX-License-Identifier: Apache-2.0
import type { Identity } from "#identities/identity.ts";
import { type Labels, labelText } from "#model/labels.ts";
import type { PeerIndex } from "./groups.ts";
import { LabelIndex } from "./label-index.ts";
import { peerMatches, peerText } from "./peer.ts";
import { PeerWatch } from "./peer-watch.ts";
import type { NamedPort, Peer } from "./rule.ts";

interface Watched {
  readonly peer: Peer;
  readonly identities: Set<number>;
}

/**
 * Which identities each peer of the policies in force means, kept up to date one identity at a time. What a change touches is
 * told as texts: `peerText` of a peer, `port:<name>` of a named port. Neither an identity is held against all peers nor a peer against all
 * identities, but where nothing narrows them down.
 */
export class IdentityIndex implements PeerIndex {
  readonly #identities = new Map<number, Identity>();
  readonly #labels = new LabelIndex();
  /** Those with labels that are not a pod's: reserved, nodes, parts of the world, blocks. */
  readonly #special = new Set<number>();
  readonly #watched = new Map<string, Watched>();
  readonly #watch = new PeerWatch();
  readonly #ports = new Map<number, readonly NamedPort[]>();
  readonly #byPort = new Map<string, Set<number>>();

  /** A peer asked for the first time is matched against the identities there are, and kept up to date from then on. */
  matching(peer: Peer): ReadonlySet<number> {
    const key = peerText(peer);
    let watched = this.#watched.get(key);
    if (!watched) {
      watched = { peer, identities: new Set() };
      for (const id of this.#candidates(peer))
        if (peerMatches(peer, this.#identities.get(id)!.labels)) watched.identities.add(id);
      this.#watched.set(key, watched);
      this.#watch.add(peer);
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
    const asked = this.#watch.candidates(identity.labels);
    if (before) {
      for (const key of this.#watch.candidates(before.labels)) asked.add(key);
      this.#labels.delete(identity.id, before.labels);
    }
    this.#identities.set(identity.id, identity);
    this.#labels.add(identity.id, identity.labels);
    if (isPods(identity.labels)) this.#special.delete(identity.id);
    else this.#special.add(identity.id);
    const touched: string[] = [];
    for (const key of asked) {
      const { peer, identities } = this.#watched.get(key)!;
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
    const identity = this.#identities.get(id);
    if (!identity) return [];
    this.#identities.delete(id);
    this.#labels.delete(id, identity.labels);
    this.#special.delete(id);
    const touched: string[] = [];
    for (const key of this.#watch.candidates(identity.labels))
      if (this.#watched.get(key)!.identities.delete(id)) touched.push(key);
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

  /** Forgets a peer that no policy has any more. */
  forget(key: string): void {
    const watched = this.#watched.get(key);
    if (!watched) return;
    this.#watched.delete(key);
    this.#watch.delete(watched.peer);
  }

  #candidates(peer: Peer): Iterable<number> {
    if (peer.kind === "selector") {
      const found = this.#labels.candidates(peer.selector);
      if (found) return found;
    } else if (peer.kind !== "entity" || (peer.entity !== "all" && peer.entity !== "cluster")) {
      return this.#special;
    }
    return this.#identities.keys();
  }
}

function isPods(labels: Labels): boolean {
  for (const key of labels.keys()) if (!key.startsWith("k8s:")) return false;
  return labels.size > 0;
}
