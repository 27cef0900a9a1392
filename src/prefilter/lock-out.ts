// SPDX-License-Identifier: Apache-2.0
import {
  contains,
  family,
  type Prefix,
  parsePrefix,
  prefixAddress,
  prefixBits,
  prefixOf,
} from "#model/ip.ts";

/** What a node can't do without hearing from. */
export interface Needed {
  readonly prefix: Prefix;
  /** `node n2`, `the API server`. */
  readonly who: string;
}

/** Neighbours, routers and DHCP servers among them, speak from these addresses. */
export const linkLocal: Needed = { prefix: parsePrefix("fe80::/10"), who: "the neighbours on the link" };

/** Whom the prefixes cut off, each with the prefix that does: `10.0.0.0/8: node n2 (10.0.0.7)`. Pure. */
export function cutOff(denied: Iterable<Prefix>, needed: readonly Needed[]): string[] {
  const set = new Set(denied);
  if (set.size === 0) return [];
  const found = needed.flatMap((need) => {
    const around = covering(set, need.prefix);
    return around === undefined ? [] : [text(around, need)];
  });
  // A part of what is needed: of a node's pods, of link-local addresses.
  const byLength = new Map<string, Map<Prefix, Needed>>();
  for (const need of needed) {
    const length = `${family(need.prefix)}/${prefixBits(need.prefix)}`;
    const known = byLength.get(length) ?? new Map<Prefix, Needed>();
    byLength.set(length, known.set(need.prefix, need));
  }
  for (const cidr of set)
    for (const [length, known] of byLength) {
      const bits = Number(length.slice(2));
      if (Number(length[0]) !== family(cidr) || bits >= prefixBits(cidr)) continue;
      const need = known.get(prefixOf(prefixAddress(cidr), bits));
      if (need) found.push(text(cidr, need));
    }
  return found;
}

/** The longest prefix of the set around another. */
function covering(set: ReadonlySet<Prefix>, inner: Prefix): Prefix | undefined {
  const address = prefixAddress(inner);
  for (let bits = prefixBits(inner); bits >= 0; bits--) {
    const around = prefixOf(address, bits);
    if (set.has(around)) return around;
  }
  return undefined;
}

function text(denied: Prefix, { who, prefix }: Needed): string {
  const single = prefixBits(prefix) === (family(prefix) === 4 ? 32 : 128);
  const whose = single ? prefixAddress(prefix) : contains(denied, prefix) ? prefix : `part of ${prefix}`;
  return `${denied}: ${who} (${whose})`;
}
