// SPDX-License-Identifier: Apache-2.0

export type Annotations = Readonly<Record<string, string>> | undefined;

/** On a policy object: what it denies is told and not enforced. On a pod: so is what any policy denies it. */
export const auditAnnotation = "weft.io/policy-audit";
/** On a pod: it may send from addresses that are not its own; only where its namespace delegates that. */
export const noSourceCheckAnnotation = "config.cilium.io/disable-source-ip-verification";
/** On a namespace: its pods decide. */
export const delegateSourceCheckAnnotation = "config.cilium.io/delegate-source-ip-verification";

/** On a pod: its connections to other pods of its node may go past the network, or must not. */
export const sockmapAnnotation = "weft.io/sockmap";

/** Whether an object's annotations switch something on. They are texts; the forms are those of Go's ParseBool. */
export function isSwitchedOn(annotations: Annotations, name: string): boolean {
  return switchOf(annotations, name) === true;
}

/** What an object's annotations say of a switch; undefined: nothing, or nothing of sense. */
export function switchOf(annotations: Annotations, name: string): boolean | undefined {
  const text = annotations?.[name] ?? "";
  if (["1", "t", "T", "true", "True", "TRUE"].includes(text)) return true;
  return ["0", "f", "F", "false", "False", "FALSE"].includes(text) ? false : undefined;
}
