// SPDX-License-Identifier: Apache-2.0

/** A figure as benches report it: over rounds, never a single run. */
export interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly median: number;
  readonly q1: number;
  readonly q3: number;
  readonly rounds: number;
  /** What it is a ratio to, or the control path measured in the same run. */
  readonly control?: string;
}

export function quantile(sorted: readonly number[], q: number): number {
  if (sorted.length === 0) return Number.NaN;
  const at = (sorted.length - 1) * q;
  const low = Math.floor(at);
  const high = Math.ceil(at);
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (at - low);
}

export function figure(name: string, unit: string, values: readonly number[], control?: string): Figure {
  const sorted = values.filter((value) => Number.isFinite(value)).sort((a, b) => a - b);
  return {
    name,
    unit,
    median: quantile(sorted, 0.5),
    q1: quantile(sorted, 0.25),
    q3: quantile(sorted, 0.75),
    rounds: sorted.length,
    ...(control === undefined ? {} : { control }),
  };
}

/** p50 and p99 of times in milliseconds; the p99's quartiles are those of the fifths of the run. */
export function latency(name: string, ms: readonly number[]): Figure[] {
  const sorted = [...ms].sort((a, b) => a - b);
  const size = Math.max(1, Math.ceil(ms.length / 5));
  const fifths: number[] = [];
  for (let at = 0; at < ms.length; at += size)
    fifths.push(
      quantile(
        ms.slice(at, at + size).sort((a, b) => a - b),
        0.99,
      ),
    );
  const p99 = figure(`${name}: p99`, "ms", fifths);
  return [figure(`${name}: p50`, "ms", ms), { ...p99, median: quantile(sorted, 0.99), rounds: ms.length }];
}

/** `0.93 [0.88–0.97]` */
export function figureText(f: Figure): string {
  const digits = (value: number) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));
  return `${digits(f.median)} [${digits(f.q1)}–${digits(f.q3)}]`;
}

/** A copy in random order: no path always runs after the same other one. */
export function shuffled<T>(list: readonly T[]): T[] {
  const out = [...list];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [out[i], out[j]] = [out[j]!, out[i]!];
  }
  return out;
}

/** A path held against itself must come out as 1: where it does not, the run says nothing about that kind of traffic. */
export function distrusted(figures: readonly Figure[]): string[] {
  return figures
    .filter(
      ({ name, unit, median }) =>
        name.includes("(again)") && unit === "ratio" && (median < 0.93 || median > 1.07),
    )
    .map(({ name, median }) => `${name} is ${median.toFixed(2)}, not 0.93 to 1.07`);
}
