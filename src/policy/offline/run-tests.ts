// SPDX-License-Identifier: Apache-2.0
import { errorText } from "#lib/errors.ts";
import type { OfflineCluster } from "./cluster.ts";
import { findParties, type Party, withImagined } from "./ends.ts";
import { createJudge, type Judge } from "./judge.ts";
import { type Truth, truthOf } from "./matrix.ts";
import type { PolicyTestCase, PolicyTestFile } from "./test-file.ts";

/** A case with what the policies say; several ends (labels) make several answers. */
export interface AskedCase {
  readonly case: PolicyTestCase;
  readonly judge: Judge;
  readonly truths: readonly Truth[];
  /** It could not be asked: there is no such pod, … */
  readonly error?: string;
}

/** Asks the cases of a file of a cluster, in their order. */
export function askCases(cluster: OfflineCluster, { cases, namespace }: PolicyTestFile): AskedCase[] {
  const usual = createJudge(cluster);
  return cases.map((one) => {
    try {
      const sources = findParties(cluster, one.from, namespace);
      const targets = findParties(cluster, one.to, namespace);
      const whole = withImagined(cluster, [...sources, ...targets]);
      const judge = whole === cluster ? usual : createJudge(whole);
      const truths = sources.flatMap((from) =>
        targets.map((to) => truthOf(judge, asker(from, one.from), { to, port: one.port })),
      );
      return { case: one, judge, truths };
    } catch (thrown) {
      return { case: one, judge: usual, truths: [], error: errorText(thrown) };
    }
  });
}

function asker(party: Party, text: string): Exclude<Party, { kind: "service" }> {
  if (party.kind === "service") throw new Error(`${text} is a service, which connects to nobody`);
  return party;
}

/** The answers that are not what the case expects. Where backends differ, neither allow nor deny is true. */
export function unexpected({ case: { expect }, truths }: AskedCase): Truth[] {
  return truths.filter(({ answer }) => answer.mixed || answer.verdict !== expect);
}
