// SPDX-License-Identifier: Apache-2.0
import { family, type Prefix, prefixAddress, prefixBits, prefixOf } from "#model/ip.ts";
import type { EgressPolicy } from "./policy.ts";

/** Who decides for the addresses of a prefix that lie in no longer one. */
export interface Destination {
  readonly prefix: Prefix;
  /** Undefined: nobody, though a shorter prefix around it is somebody's. */
  readonly policy: EgressPolicy | undefined;
}

/**
 * The destinations of a pod that these policies select, to be found by the longest prefix. For an address a policy counts when one of its
 * destinations holds it and none of its exclusions does; of those that count, the one with the longest destination, then the oldest, then
 * the first by name. What lies `apart` is no policy's. What a shorter prefix says already is left out. Pure.
 */
export function destinationsOf(policies: readonly EgressPolicy[], apart: readonly Prefix[]): Destination[] {
  const sets = policies.map((policy) => ({
    policy,
    destinations: new Set(policy.destinations),
    excluded: new Set([...policy.excluded, ...apart]),
  }));
  const all = new Set(sets.flatMap(({ destinations, excluded }) => [...destinations, ...excluded]));
  const decided = new Map<Prefix, EgressPolicy | undefined>();
  const out: Destination[] = [];
  for (const prefix of [...all].sort((a, b) => prefixBits(a) - prefixBits(b))) {
    const around = prefixesAround(prefix);
    const policy = decide(sets, around);
    const shorter = around.find((one) => one !== prefix && decided.has(one));
    decided.set(prefix, policy);
    if (policy !== (shorter === undefined ? undefined : decided.get(shorter))) out.push({ prefix, policy });
  }
  return out;
}

interface PolicySets {
  readonly policy: EgressPolicy;
  readonly destinations: ReadonlySet<Prefix>;
  readonly excluded: ReadonlySet<Prefix>;
}

function decide(sets: readonly PolicySets[], around: readonly Prefix[]): EgressPolicy | undefined {
  let best: { readonly policy: EgressPolicy; readonly bits: number } | undefined;
  for (const { policy, destinations, excluded } of sets) {
    const longest = around.find((prefix) => destinations.has(prefix));
    if (longest === undefined || around.some((prefix) => excluded.has(prefix))) continue;
    const bits = prefixBits(longest);
    if (!best || bits > best.bits || (bits === best.bits && isOlder(policy, best.policy)))
      best = { policy, bits };
  }
  return best?.policy;
}

function isOlder(a: EgressPolicy, b: EgressPolicy): boolean {
  return a.createdMs === b.createdMs ? a.name < b.name : a.createdMs < b.createdMs;
}

/** The prefix and all shorter ones around it, longest first. */
function prefixesAround(prefix: Prefix): Prefix[] {
  const address = prefixAddress(prefix);
  const out: Prefix[] = [];
  for (let bits = prefixBits(prefix); bits >= 0; bits--) out.push(prefixOf(address, bits));
  return out;
}

/** Those of one family. */
export function ofFamily(destinations: readonly Destination[], of: 4 | 6): Destination[] {
  return destinations.filter(({ prefix }) => family(prefix) === of);
}
