// SPDX-License-Identifier: Apache-2.0
/** What it costs a daemon to bring an empty node to all services. */
import { type Figure, figure } from "../stats.ts";
import type { SizeContext } from "./context.ts";
import type { Programmed } from "./daemon.ts";
import type { World } from "./world.ts";

const defaultRounds = 3;

interface Filled {
  readonly name: string;
  readonly runs: readonly Programmed[];
}

/** Fills the node of Weft that no other part uses, as often as is asked for. */
export async function programmingFigures(
  world: World,
  context: SizeContext,
  proxies: readonly Filled[],
): Promise<Figure[]> {
  const { services, size, progress, rounds = defaultRounds } = context;
  const runs: Programmed[] = [];
  const heaps: number[] = [];
  for (let round = 0; round < Math.min(rounds, defaultRounds); round++) {
    progress(`Weft from empty, ${round + 1}`);
    runs.push(await world.empty.fill(services));
    heaps.push(await world.empty.heapMb());
  }
  await world.empty.stop();
  return [
    ...filledFigures({ name: "Weft", runs }, proxies, size),
    figure(`Weft, ${size}: heap of the agent`, "MB", heaps),
  ];
}

/** CPU and time of each, and Weft's CPU to that of the others. */
export function filledFigures(weft: Filled, proxies: readonly Filled[], size: string): Figure[] {
  const cpu = (runs: readonly Programmed[]) => runs.map(({ cpuSec }) => cpuSec);
  const costs = [weft, ...proxies].flatMap(({ name, runs }) => [
    figure(`${name}, ${size}: from empty to all services, CPU`, "s", cpu(runs)),
    figure(
      `${name}, ${size}: from empty to all services`,
      "s",
      runs.map(({ wallSec }) => wallSec),
    ),
  ]);
  const ratios = proxies.map(({ name, runs }) => {
    // Each daemon's runs are its own: they have no rounds in common to pair.
    const theirs = figure("", "", cpu(runs)).median;
    const ours = cpu(weft.runs).map((seconds) => seconds / theirs);
    return figure(`Weft, ${size}: from empty to all services, CPU`, "ratio", ours, `${name}, ${size}`);
  });
  return [...costs, ...ratios];
}
