// SPDX-License-Identifier: Apache-2.0
import { labProbe } from "#lab/probe.ts";
import type { ProbeRow, Question } from "#lab/probe-attempt.ts";
import type { Truth, TruthRow } from "#policy/offline/matrix.ts";

export interface Measured {
  readonly rows: readonly ProbeRow[];
  readonly differing: readonly { readonly row: TruthRow; readonly measured: "allow" | "deny" }[];
  /** Asked by an address, or of a second pod of a template: the lab can't be asked that. */
  readonly unmeasured: number;
}

/**
 * Makes the connections in the running lab. What depends on which backend is met is measured, but is no difference either way.
 * @throws WeftError E_NO_LAB, E_QUESTION for somebody the lab does not have
 */
export async function measure(truths: readonly Truth[], signal?: AbortSignal): Promise<Measured> {
  const asked = truths.flatMap((truth) => {
    const question = questionOf(truth);
    return question ? [{ truth, question }] : [];
  });
  const questions = asked.map(({ question }) => question);
  const rows = asked.length === 0 ? [] : await labProbe({ questions, ...(signal && { signal }) });
  const differing = asked.flatMap(({ truth: { row, answer } }, i) =>
    rows[i]!.verdict === row.verdict || answer.mixed ? [] : [{ row, measured: rows[i]!.verdict }],
  );
  return { rows, differing, unmeasured: truths.length - asked.length };
}

export function questionOf({ from, to, row }: Truth): Question | undefined {
  const { port, protocol } = row.to;
  if (protocol !== "TCP" && protocol !== "UDP" && protocol !== "ICMP") return undefined;
  if (from.kind !== "pod") return undefined;
  const source = `${from.pod.namespace}/${from.pod.workload}`;
  if (to.kind === "address") return { from: source, to: to.address, port, protocol };
  if (to.kind === "reserved") return undefined;
  if (to.kind === "service") {
    const { namespace, name } = to.service;
    return { from: source, to: `service:${namespace}/${name}`, port, protocol };
  }
  const { pod } = to;
  const first = pod.name === pod.workload || pod.addresses.length > 0 || pod.name === `${pod.workload}-0`;
  return first ? { from: source, to: `${pod.namespace}/${pod.workload}`, port, protocol } : undefined;
}
