// SPDX-License-Identifier: Apache-2.0

export type Annotations = Readonly<Record<string, string>> | undefined;

/** On a policy object: what it denies is told and not enforced. On a pod: so is what any policy denies it. */
export const auditAnnotation = "weft.io/policy-audit";
/** On a pod: it may send from addresses that are not its own; only where its namespace delegates that. */
export const noSourceCheckAnnotation = "config.cilium.io/disable-source-ip-verification";
/** On a namespace: its pods decide. */
export const delegateSourceCheckAnnotation = "config.cilium.io/delegate-source-ip-verification";

/** Whether an object's annotations switch something on. They are texts; the forms are those of Go's ParseBool. */
export function isSwitchedOn(annotations: Annotations, name: string): boolean {
  return ["1", "t", "T", "true", "True", "TRUE"].includes(annotations?.[name] ?? "");
}
