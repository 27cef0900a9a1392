// SPDX-License-Identifier: Apache-2.0
/** What a packet to a NodePort costs, in CPU, for each way to balance it. */
import { type Figure, figure, shuffled } from "../stats.ts";
import { type FlowKind, flowKinds, type Wire, type WireWindow } from "./wire.ts";

export interface WirePair {
  readonly wire: Wire;
  readonly base: Wire;
}

export interface WireOptions {
  readonly rounds: number;
  readonly signal: AbortSignal;
  progress(text: string): void;
}

/** Less than this part of the packets come out again: what was measured is not their whole way. */
const leastDelivered = 0.95;

/** Interleaved rounds over all wires in random order; figures are ratios within a round. @throws Error when packets are lost */
export async function compareWires(
  pairs: readonly WirePair[],
  { rounds, signal, progress }: WireOptions,
): Promise<Figure[]> {
  const wires = [...new Set(pairs.flatMap(({ wire, base }) => [wire, base]))];
  const seen = new Map<Wire, Record<FlowKind, WireWindow[]>>(
    wires.map((wire) => [wire, { "known flows": [], "a new flow per packet": [] }]),
  );
  for (let round = -1; round < rounds; round++) {
    for (const kind of flowKinds)
      for (const wire of shuffled(wires)) {
        signal.throwIfAborted();
        const window = await wire.send(kind);
        // The first round makes the known flows known.
        if (round >= 0) seen.get(wire)![kind].push(window);
      }
    progress(round < 0 ? "flows are known" : `round ${round + 1} of ${rounds}`);
  }
  return wireFigures(pairs, seen);
}

/** @throws Error when packets were lost */
export function wireFigures(
  pairs: readonly WirePair[],
  seen: ReadonlyMap<Wire, Readonly<Record<FlowKind, readonly WireWindow[]>>>,
): Figure[] {
  const costs = [...seen].flatMap(([wire, kinds]) =>
    flowKinds.map((kind) => {
      const delivered = figure(
        "",
        "",
        kinds[kind].map((window) => window.delivered),
      ).median;
      if (delivered < leastDelivered)
        throw new Error(
          `${wire.name}, ${kind}: ${Math.round(delivered * 100)} % of the packets came out again`,
        );
      const ns = kinds[kind].map(({ cpuNs }) => cpuNs);
      return figure(`${wire.name}: ${kind}, CPU per packet`, "ns", ns);
    }),
  );
  const ratios = pairs.flatMap(({ wire, base }) =>
    flowKinds.map((kind) => {
      const to = seen.get(base)![kind];
      const ratio = seen.get(wire)![kind].map(({ cpuNs }, i) => cpuNs / to[i]!.cpuNs);
      return figure(`${wire.name}: ${kind}, CPU per packet`, "ratio", ratio, base.name);
    }),
  );
  return [...ratios, ...costs];
}
