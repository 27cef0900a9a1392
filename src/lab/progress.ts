// SPDX-License-Identifier: Apache-2.0

/** Told while the lab comes up: one step begins, one is done. */
export type LabProgress = (step: {
  readonly name: string;
  readonly done: boolean;
  readonly ms: number;
  readonly detail?: string;
}) => void;

/** Does one step of bringing a lab up, and tells of its begin and its end. */
export async function timedStep<T>(
  progress: LabProgress | undefined,
  name: string,
  work: () => Promise<T>,
): Promise<T> {
  const startMs = performance.now();
  progress?.({ name, done: false, ms: 0 });
  const result = await work();
  progress?.({ name, done: true, ms: Math.round(performance.now() - startMs) });
  return result;
}
