// SPDX-License-Identifier: Apache-2.0
import { DropReason, EventFlag } from "#datapath/layouts/enums.ts";
import { ask, type Compiled, compile, type Said } from "./compiled.ts";
import type { KernelAnswer, KernelJudge } from "./kernel.ts";
import { minimize, shortest } from "./minimize.ts";
import type { Cluster, Manifest } from "./oracle/cluster.ts";
import { type Answer, type Judgement, judge } from "./oracle/oracle.ts";
import type { Attempt } from "./oracle/side.ts";

export interface Counts {
  asked: number;
  denied: number;
}

export interface Asking {
  /** undefined: only the oracle and the entries are asked */
  readonly kernel: KernelJudge | undefined;
  readonly counts: Counts;
  /** See `compile`. */
  readonly by: "once" | "steps";
}

/** Asks the oracle, the compiled entries and the datapath the same; the first that differ, as small as it gets, or undefined. */
export function disagreement(
  cluster: Cluster,
  policies: readonly Manifest[],
  attempts: readonly Attempt[],
  asking: Asking,
): string | undefined {
  const compiled = compile(cluster, policies, asking.by);
  if (compiled.refused.length > 0) return `a valid policy is refused: ${compiled.refused.join("; ")}`;
  if (attempts.length === 0) return undefined;
  const answers = asking.kernel?.ask(compiled, attempts);
  for (const [index, attempt] of attempts.entries()) {
    const wanted = judge(cluster, policies, attempt);
    const said = ask(compiled, attempt);
    const found = differ(wanted, said, compiled) ?? differInKernel(said, answers?.[index] ?? []);
    if (found !== undefined) return smallest({ cluster, policies, attempt }, asking);
    asking.counts.asked++;
    if (said.egress?.verdict === "deny" || said.ingress?.verdict === "deny") asking.counts.denied++;
  }
  return undefined;
}

interface Case {
  readonly cluster: Cluster;
  readonly policies: readonly Manifest[];
  readonly attempt: Attempt;
}

function smallest({ cluster, policies, attempt }: Case, { kernel, by }: Asking): string {
  const found = (one: Omit<Case, "attempt">): string | undefined => {
    const compiled = compile(one.cluster, one.policies, by);
    if (compiled.refused.length > 0) return undefined;
    const said = ask(compiled, attempt);
    return (
      differ(judge(one.cluster, one.policies, attempt), said, compiled) ??
      differInKernel(said, kernel?.ask(compiled, [attempt])[0] ?? [])
    );
  };
  const policiesLeft = minimize(policies, (some) => found({ cluster, policies: some }) !== undefined);
  const withPods = (pods: Cluster["pods"]) => ({ cluster: { ...cluster, pods }, policies: policiesLeft });
  const podsLeft = shortest(cluster.pods, (pods) => found(withPods(pods)) !== undefined);
  const least = withPods(podsLeft);
  const pods = least.cluster.pods.map((pod) => JSON.stringify(pod)).join("\n");
  const { pods: _, ...others } = least.cluster;
  return [
    `${attemptText(attempt)}: ${found(least)}`,
    least.policies.map((policy) => JSON.stringify(policy)).join("\n"),
    pods,
    JSON.stringify(others),
  ].join("\n");
}

function differ(
  wanted: Judgement,
  said: { egress?: Said; ingress?: Said },
  compiled: Compiled,
): string | undefined {
  for (const direction of ["egress", "ingress"] as const) {
    const answers = wanted[direction];
    const one = said[direction];
    if (answers === undefined && one === undefined) continue;
    if (!one || !answers) return `${direction}: asked at one place and not at the other`;
    const names = one.entry
      ? compiled.origins(one.entry.rule).filter((name) => !name.startsWith("Implicit "))
      : [];
    if (!answers.some((answer) => isSaid(answer, one, names)))
      return `${direction}: must be ${answers.map(answerText).join(" or ")}, the entries say ${answerText({ ...one, policies: names })}`;
  }
  return undefined;
}

/** The entry names some of those that decide, and nobody else. */
function isSaid({ verdict, explicit, policies }: Answer, said: Said, names: readonly string[]): boolean {
  if (verdict !== said.verdict) return false;
  if (verdict !== "allow" && explicit !== said.explicit) return false;
  if (!names.every((name) => policies.includes(name))) return false;
  return verdict === "allow" || names.length > 0 || policies.length === 0;
}

function answerText({
  verdict,
  explicit,
  policies,
}: {
  verdict: string;
  explicit: boolean;
  policies: readonly string[];
}) {
  return `${verdict}${explicit ? "" : " by default"} (${policies.join(", ") || "nobody"})`;
}

function differInKernel(
  { egress, ingress }: { egress?: Said; ingress?: Said },
  answers: readonly KernelAnswer[],
): string | undefined {
  const denied = egress?.verdict === "deny";
  const deciding = denied || !ingress ? egress : ingress;
  const reached = denied ? undefined : ingress;
  const wanted = {
    reason: reasonOf(deciding, "deny"),
    auditedEgress: reasonOf(egress, "audit"),
    auditedIngress: reasonOf(reached, "audit"),
    egressRule: egress?.entry?.rule ?? 0,
    ingressRule: reached?.entry?.rule ?? 0,
    explicitDeny: deciding?.verdict === "deny" && deciding.explicit,
  };
  for (const { reason, auditedEgress, auditedIngress, egressRule, ingressRule, flags, reply } of answers) {
    const explicitDeny = (flags & EventFlag.explicitDeny) !== 0;
    const got = { reason, auditedEgress, auditedIngress, egressRule, ingressRule, explicitDeny };
    const [a, b] = [JSON.stringify(wanted), JSON.stringify(got)];
    if (a !== b) return `the entries say ${a}, the program${reply ? " of an answer" : ""} ${b}`;
  }
  return undefined;
}

function reasonOf(said: Said | undefined, verdict: "deny" | "audit"): number {
  if (said?.verdict !== verdict) return 0;
  return said.explicit ? DropReason.policyDeny : DropReason.policyDenied;
}

export function attemptText({ from, to, protocol, port }: Attempt): string {
  return `${from} → ${to} ${protocol}/${port}`;
}
