// SPDX-License-Identifier: Apache-2.0
import { labProbe } from "#lab/probe.ts";
import type { ProbeRow } from "#lab/probe-attempt.ts";
import { portText, protocolNumber } from "#model/port.ts";
import type { Question } from "#model/questions.ts";
import type { End } from "#policy/offline/end.ts";
import type { Truth, TruthRow } from "#policy/offline/matrix.ts";

export interface Measured {
  readonly rows: readonly ProbeRow[];
  readonly differing: readonly { readonly row: TruthRow; readonly measured: "allow" | "deny" }[];
  /** Asked by an address of a pod, or by a second pod of a template: the lab can't be asked that. */
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

/** Undefined: the lab has nobody who could ask, or nobody to be asked. */
export function questionOf({ from, to, row, answer }: Truth): Question | undefined {
  const source = sideOf(from);
  const target = to.kind === "service" ? `service:${to.service.namespace}/${to.service.name}` : sideOf(to);
  const { proto, port } = answer.paths[0] ?? { proto: protocolNumber(row.to.protocol), port: row.to.port };
  const asked = to.kind === "service" ? { proto, port: row.to.port } : { proto, port };
  const measurable = ["TCP", "UDP", "SCTP"].includes(row.to.protocol) || !portText(asked).includes("/");
  // From outside there is a way to nodes only.
  const reachable = from.kind !== "address" || to.kind === "node";
  if (source === undefined || target === undefined || !measurable || !reachable) return undefined;
  return { from: source, to: target, port: asked };
}

function sideOf(end: End): string | undefined {
  if (end.kind === "node") return `node:${end.node.name}`;
  if (end.kind === "address") return end.address;
  if (end.kind === "reserved") return undefined;
  const { name, workload, namespace, addresses } = end.pod;
  // One that runs is itself; a template's first pod is whoever the lab has of the workload.
  if (addresses.length > 0) return `${namespace}/${name}`;
  return name === workload || name === `${workload}-0` ? `${namespace}/${workload}` : undefined;
}
