// SPDX-License-Identifier: Apache-2.0

/** A condition as Kubernetes' API machinery has it (metav1.Condition). */
export interface Condition {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly observedGeneration?: number;
  readonly lastTransitionTime: string;
  readonly reason: string;
  readonly message: string;
}

export type WantedCondition = Omit<Condition, "lastTransitionTime">;

/** The conditions there are, with the wanted ones in place of those of their types; one that says the same status keeps its time. */
export function withConditions(
  there: readonly Condition[],
  wanted: readonly WantedCondition[],
  nowMs: number,
): Condition[] {
  const now = new Date(nowMs).toISOString().replace(/\.\d+Z$/, "Z");
  const others = there.filter(({ type }) => !wanted.some((one) => one.type === type));
  const ours = wanted.map((one) => {
    const before = there.find(({ type }) => type === one.type);
    return { ...one, lastTransitionTime: before?.status === one.status ? before.lastTransitionTime : now };
  });
  return [...others, ...ours];
}

/** Whether the wanted conditions are there as they should be. */
export function hasConditions(there: readonly Condition[], wanted: readonly WantedCondition[]): boolean {
  return wanted.every((one) => {
    const found = there.filter(({ type }) => type === one.type);
    const [first] = found;
    return (
      found.length === 1 &&
      first?.status === one.status &&
      first.reason === one.reason &&
      first.message === one.message &&
      first.observedGeneration === one.observedGeneration
    );
  });
}
