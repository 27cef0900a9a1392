// SPDX-License-Identifier: Apache-2.0

/**
 * Smallest set of prefixes over 16-bit ports whose longest match gives each port a label it accepts: optimal routing table
 * construction (Draves, King, Venkatachary, Zill 1999) with sets of labels at the leaves.
 */

/** No entry here: what the shorter prefix says, or nobody. */
export const none = -1;

export interface Segment {
  readonly first: number;
  readonly last: number;
  /** Labels any of which is right for these ports; may hold {@link none}, and always a label that is not. */
  readonly accepts: ReadonlySet<number>;
}

export interface Covering {
  readonly port: number;
  readonly bits: number;
  readonly label: number;
}

export interface PortTree {
  readonly port: number;
  readonly bits: number;
  /** Best labels for this prefix when no shorter one has an entry, and when one has. */
  readonly free: ReadonlySet<number>;
  readonly bound: ReadonlySet<number>;
  readonly children?: readonly [PortTree, PortTree];
}

/** @param segments ascending, without gaps, 0 to 65535 */
export function portTree(segments: readonly Segment[]): PortTree {
  return build(segments, 0, segments.length - 1, { port: 0, bits: 0 });
}

function build(
  segments: readonly Segment[],
  from: number,
  to: number,
  at: { port: number; bits: number },
): PortTree {
  if (from === to) {
    const free = segments[from]!.accepts;
    return { ...at, free, bound: without(free) };
  }
  const half = at.port + (1 << (15 - at.bits));
  let left = from;
  while (left < to && segments[left + 1]!.first < half) left++;
  const right = segments[left]!.last >= half ? left : left + 1;
  const low = build(segments, from, left, { port: at.port, bits: at.bits + 1 });
  const high = build(segments, right, to, { port: half, bits: at.bits + 1 });
  const tree = { ...at, free: merge(low.free, high.free), bound: merge(low.bound, high.bound) };
  return { ...tree, children: [low, high] };
}

function without(labels: ReadonlySet<number>): ReadonlySet<number> {
  if (!labels.has(none)) return labels;
  return new Set([...labels].filter((label) => label !== none));
}

function merge(a: ReadonlySet<number>, b: ReadonlySet<number>): ReadonlySet<number> {
  const both = new Set([...a].filter((label) => b.has(label)));
  return both.size > 0 ? both : new Set([...a, ...b]);
}

/** The entries of the tree, given the label that a shorter match has for all of it. */
export function cover(tree: PortTree, inherited: number): Covering[] {
  const out: Covering[] = [];
  descend(tree, inherited, out);
  return out;
}

function descend(tree: PortTree, inherited: number, out: Covering[]): void {
  const wanted = inherited === none ? tree.free : tree.bound;
  let label = inherited;
  if (!wanted.has(inherited)) {
    label = Math.min(...[...wanted].filter((candidate) => candidate !== none));
    out.push({ port: tree.port, bits: tree.bits, label });
  }
  for (const child of tree.children ?? []) descend(child, label, out);
}
