// SPDX-License-Identifier: Apache-2.0
/** Events a second the flows thread takes in without losing one. */
import type { BenchPart } from "./context.ts";
import { measureEventRate } from "./flow-events.ts";
import { type Figure, figure } from "./stats.ts";

const defaultRounds = 3;
const perSecond = 100_000;
const seconds = 2;

export const events: BenchPart = {
  name: "events",
  what: "flow events a second without loss, and their cost",
  async run({ rounds = defaultRounds, signal, progress }) {
    const rates = [];
    for (let round = 0; round < rounds; round++) {
      for (const factor of [1, 2, 4]) {
        signal.throwIfAborted();
        progress(`round ${round + 1} of ${rounds}: ${(perSecond * factor) / 1000} k events/s`);
        rates.push({ factor, ...(await measureEventRate(perSecond * factor, seconds)) });
      }
    }
    const figures: Figure[] = [];
    for (const factor of [1, 2, 4]) {
      const name = `flow events, ${(perSecond * factor) / 1000} k/s offered`;
      const all = rates.filter((rate) => rate.factor === factor);
      figures.push(
        figure(
          `${name}: lost`,
          "% of events",
          all.map(({ lost, taken }) => (lost * 100) / (lost + taken)),
        ),
        figure(
          `${name}: CPU of the agent's side`,
          "% of a core",
          all.map(({ core }) => core * 100),
        ),
      );
    }
    const lossless = rates.filter(({ lost }) => lost === 0).map(({ offered }) => offered);
    figures.push(
      figure("flow events taken without loss, highest of the run", "events/s", [Math.max(0, ...lossless)]),
    );
    return figures;
  },
};
