// SPDX-License-Identifier: Apache-2.0
import type { Cell, Cells } from "./cells.ts";
import { cover, none, portTree, type Segment } from "./cover.ts";
import { type Decision, isExplicit, rankOf } from "./judge.ts";

/** A policy entry but for the identities it is for. */
export interface GroupEntry {
  readonly decision: Decision;
  /** 0: any. */
  readonly proto: number;
  readonly port: number;
  readonly portBits: number;
}

/**
 * The fewest entries that make an identity's cells come true.
 * @param base what rules for anybody say, over the same protocols: entries of identity 0 that the datapath finds as well. Undefined when
 * it is those entries that are wanted.
 * @param ranked the datapath compares what is found with what is said of blocks: its place must be right too
 */
export function entriesOf(cells: Cells, base: Cells | undefined, ranked: boolean): GroupEntry[] {
  const labels = new Labels(ranked);
  for (const own of [...cells.byProto.values()].flat()) labels.add(own.decision);
  labels.add(cells.other);
  const accepted = (target: Decision, under: Decision | undefined) => labels.accepted(target, under);
  const trees = [...cells.byProto].map(([proto, list]) => ({
    proto,
    tree: portTree(segments(list, base?.byProto.get(proto), accepted)),
  }));
  const other = accepted(cells.other, base?.other);
  const root = bestRoot(
    other,
    trees.map(({ tree }) => ({ free: tree.free, bound: tree.bound })),
  );
  const out: GroupEntry[] = [];
  if (root !== none) out.push({ decision: labels.of(root), proto: 0, port: 0, portBits: 0 });
  for (const { proto, tree } of trees) {
    for (const { port, bits, label } of cover(tree, root))
      out.push({ decision: labels.of(label), proto, port, portBits: bits });
  }
  return out;
}

/** Protocols without cells of their own have only the root to go by; among what is right for them, what most protocols can use. */
function bestRoot(
  other: ReadonlySet<number>,
  trees: readonly { free: ReadonlySet<number>; bound: ReadonlySet<number> }[],
): number {
  let best = none;
  let bestCost = Number.POSITIVE_INFINITY;
  for (const label of [...other].sort((a, b) => a - b)) {
    const misses = trees.filter(({ free, bound }) => !(label === none ? free : bound).has(label)).length;
    const cost = misses + (label === none ? 0 : 1);
    if (cost < bestCost) [best, bestCost] = [label, cost];
  }
  return best;
}

type Accepted = (target: Decision, under: Decision | undefined) => ReadonlySet<number>;

/** Both lists cut at each other's borders; the same answer for neighbours makes one segment. */
function segments(own: readonly Cell[], base: readonly Cell[] | undefined, accepted: Accepted): Segment[] {
  const out: Segment[] = [];
  let under = 0;
  for (const cell of own) {
    let first = cell.first;
    while (first <= cell.last) {
      while (base && base[under]!.last < first) under++;
      const last = base ? Math.min(cell.last, base[under]!.last) : cell.last;
      const accepts = accepted(cell.decision, base?.[under]?.decision);
      const before = out.at(-1);
      if (before && before.accepts === accepts) out[out.length - 1] = { first: before.first, last, accepts };
      else out.push({ first, last, accepts });
      first = last + 1;
    }
  }
  return out;
}

/** The decisions that entries of a group may carry, numbered. */
class Labels {
  readonly #ranked: boolean;
  readonly #decisions: Decision[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #accepted = new Map<string, ReadonlySet<number>>();

  constructor(ranked: boolean) {
    this.#ranked = ranked;
  }

  add(decision: Decision): void {
    const key = textOf(decision);
    if (this.#numbers.has(key)) return;
    this.#numbers.set(key, this.#decisions.length);
    this.#decisions.push(decision);
  }

  of(label: number): Decision {
    return this.#decisions[label]!;
  }

  /**
   * Labels that come out as `target` where anybody's entry is `under`: it must be right in verdict and, so that every verdict can name
   * its rule, say nothing that is not so: its rules are among those that really decide.
   */
  accepted(target: Decision, under: Decision | undefined): ReadonlySet<number> {
    const key = `${textOf(target)} ${under ? textOf(under) : ""}`;
    const known = this.#accepted.get(key);
    if (known) return known;
    const found = new Set<number>();
    for (const [label, decision] of this.#decisions.entries()) {
      const decides = under && rankOf(under) > rankOf(decision) ? under : decision;
      if (this.#fits(decides, target, this.#ranked || !under)) found.add(label);
    }
    if (under && this.#fits(under, target, this.#ranked)) found.add(none);
    this.#accepted.set(key, found);
    return found;
  }

  #fits(decision: Decision, target: Decision, ranked: boolean): boolean {
    return speaksFor(decision, target) && (!ranked || rankOf(decision) === rankOf(target));
  }
}

function textOf({ verdict, precedence, rules }: Decision): string {
  return `${verdict} ${precedence} ${rules.join()}`;
}

function speaksFor(decision: Decision, target: Decision): boolean {
  if (decision.verdict !== target.verdict || isExplicit(decision) !== isExplicit(target)) return false;
  return decision.rules.every((rule) => target.rules.includes(rule));
}
