// SPDX-License-Identifier: Apache-2.0
import { hash32 } from "#lib/hash.ts";
import { peerText } from "./peer.ts";
import type { Resolver } from "./resolve.ts";
import type { NamedPort, ResolvedPolicy, Rule } from "./rule.ts";
import type { Part } from "./selection.ts";

/** One policy map's worth: the parts that select some endpoints, with those endpoints. */
export interface DistinctPolicy {
  readonly id: number;
  /** What the id is the hash of. */
  readonly text: string;
  readonly parts: readonly string[];
  /** The named ports that matter, of the endpoints: equal for all of them. */
  readonly ports: readonly NamedPort[];
  readonly endpoints: Set<string>;
  /** Peers and port names whose identities the entries were made of. */
  depends: ReadonlySet<string>;
  resolved: ResolvedPolicy | undefined;
  /** What `resolved` was made by; undefined: it has to be made anew. */
  resolver: Resolver | undefined;
  /** Sum of the entries' hashes: see `revision.ts`. */
  sum: number;
}

/**
 * Endpoints that the same parts select share a policy. Its id is the hash of those parts, so it survives restarts and stays the
 * same while the rules inside the parts change: an edited policy is a changed map, not a new one that every endpoint moves to.
 */
export class DistinctPolicies {
  readonly #byText = new Map<string, DistinctPolicy>();
  readonly #byId = new Map<number, DistinctPolicy>();
  readonly #ofEndpoint = new Map<string, DistinctPolicy>();

  of(endpoint: string): DistinctPolicy | undefined {
    return this.#ofEndpoint.get(endpoint);
  }

  has(id: number): boolean {
    return this.#byId.has(id);
  }

  all(): Iterable<DistinctPolicy> {
    return this.#byText.values();
  }

  /** Puts an endpoint under the policy of its parts; returns the policy. */
  assign(endpoint: string, parts: readonly Part[], ports: readonly NamedPort[]): DistinctPolicy {
    const relevant = portsThatMatter(parts, ports);
    const text = JSON.stringify([
      parts.map(({ key }) => key),
      relevant.map(({ name, proto, port }) => [name, proto, port]),
    ]);
    const policy = this.#byText.get(text) ?? this.#add(text, parts, relevant);
    if (this.#ofEndpoint.get(endpoint) !== policy) {
      this.release(endpoint);
      policy.endpoints.add(endpoint);
      this.#ofEndpoint.set(endpoint, policy);
    }
    return policy;
  }

  release(endpoint: string): void {
    this.#ofEndpoint.get(endpoint)?.endpoints.delete(endpoint);
    this.#ofEndpoint.delete(endpoint);
  }

  /** Forgets policies without endpoints; returns them. */
  sweep(): DistinctPolicy[] {
    const gone = [...this.#byText.values()].filter(({ endpoints }) => endpoints.size === 0);
    for (const { id, text } of gone) {
      this.#byText.delete(text);
      this.#byId.delete(id);
    }
    return gone;
  }

  #add(text: string, parts: readonly Part[], ports: readonly NamedPort[]): DistinctPolicy {
    let id = hash32(text) || 1;
    while (this.#byId.has(id)) id = (id + 1) >>> 0 || 1;
    const keys = parts.map(({ key }) => key);
    const policy: DistinctPolicy = {
      id,
      text,
      parts: keys,
      ports,
      endpoints: new Set(),
      depends: new Set(),
      resolved: undefined,
      resolver: undefined,
      sum: 0,
    };
    this.#byText.set(text, policy);
    this.#byId.set(id, policy);
    return policy;
  }
}

/** Own named ports matter where an ingress rule uses their name. */
function portsThatMatter(parts: readonly Part[], ports: readonly NamedPort[]): NamedPort[] {
  if (ports.length === 0) return [];
  const names = new Set<string>();
  for (const { rules } of parts) {
    for (const rule of rules) {
      if (rule.direction === "ingress")
        for (const { name } of rule.ports ?? []) if (name !== undefined) names.add(name);
    }
  }
  const used = ports.filter(({ name }) => names.has(name));
  return used.sort((a, b) =>
    a.name === b.name ? a.proto - b.proto || a.port - b.port : a.name < b.name ? -1 : 1,
  );
}

/** Texts of everything about identities that rules depend on: see `IdentityIndex`. */
export function dependenciesOf(rules: readonly Rule[]): Set<string> {
  const found = new Set<string>([peerText({ kind: "entity", entity: "host" })]);
  for (const rule of rules) {
    for (const peer of rule.peers ?? []) found.add(peerText(peer));
    if (rule.direction === "egress")
      for (const { name } of rule.ports ?? []) if (name !== undefined) found.add(`port:${name}`);
  }
  return found;
}
