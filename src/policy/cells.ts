// SPDX-License-Identifier: Apache-2.0
import { type Decision, decide, type Terms } from "./judge.ts";
import type { PortRange, Rule } from "./rule.ts";

/** A rule as one identity sees it: named ports are numbers by now. */
export interface Reach {
  /** Index into the list of rules. */
  readonly rule: number;
  /** Undefined: any port of any protocol. No names. */
  readonly ports: readonly PortRange[] | undefined;
}

export interface Cell {
  readonly first: number;
  readonly last: number;
  readonly decision: Decision;
}

/** What the rules say about one identity: cells by protocol, ascending and without gaps, and every other protocol. */
export interface Cells {
  readonly byProto: ReadonlyMap<number, readonly Cell[]>;
  readonly other: Decision;
}

const protosWithPorts = [6, 17, 132];

/** Divides the protocols and ports into cells within which the same rules match, and decides each. */
export function cellsOf(
  rules: readonly Rule[],
  reaches: readonly Reach[],
  protos: Iterable<number>,
  terms: Terms,
): Cells {
  const wide = reaches.filter(({ ports }) => !ports || ports.some(isEverything)).map(({ rule }) => rule);
  const decided = new Map<string, Decision>();
  const decideOnce = (matching: readonly number[]) => {
    const key = matching.join();
    let decision = decided.get(key);
    if (!decision) {
      decision = decide(rules, matching, terms);
      decided.set(key, decision);
    }
    return decision;
  };
  const byProto = new Map<number, readonly Cell[]>();
  for (const proto of protos) byProto.set(proto, cellsOfProto(reaches, proto, decideOnce));
  return { byProto, other: decideOnce(wide) };
}

/** Protocols the rules speak of by number. */
export function protosOf(reaches: Iterable<Reach>): Set<number> {
  const found = new Set<number>();
  for (const { ports } of reaches) {
    for (const range of ports ?? []) {
      if (range.proto !== 0) found.add(range.proto);
      else if (!isEverything(range)) for (const proto of protosWithPorts) found.add(proto);
    }
  }
  return found;
}

function isEverything(range: PortRange): boolean {
  return range.proto === 0 && range.first === 0 && range.last === 65535 && range.name === undefined;
}

/** Ports of any protocol are those of the protocols that have ports. */
function isAbout(range: PortRange, proto: number): boolean {
  return (
    range.proto === proto || (range.proto === 0 && (isEverything(range) || protosWithPorts.includes(proto)))
  );
}

function cellsOfProto(
  reaches: readonly Reach[],
  proto: number,
  decideOnce: (matching: readonly number[]) => Decision,
): Cell[] {
  const spans: { first: number; last: number; rule: number }[] = [];
  for (const { rule, ports } of reaches) {
    for (const range of ports ?? [{ proto: 0, first: 0, last: 65535 }]) {
      if (isAbout(range, proto)) spans.push({ first: range.first, last: range.last, rule });
    }
  }
  const starts = new Set([0]);
  for (const { first, last } of spans) {
    starts.add(first);
    if (last < 65535) starts.add(last + 1);
  }
  const sorted = [...starts].sort((a, b) => a - b);
  return sorted.map((first, index) => {
    const matching = new Set<number>();
    for (const span of spans) if (span.first <= first && first <= span.last) matching.add(span.rule);
    const last = (sorted[index + 1] ?? 65536) - 1;
    return { first, last, decision: decideOnce([...matching].sort((a, b) => a - b)) };
  });
}
