// SPDX-License-Identifier: Apache-2.0

/** A condition of an object's status, its time aside. */
export interface PolicyCondition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

/** What a condition says, to compare. */
export function conditionText({ type, status, reason, message }: Partial<PolicyCondition>): string {
  return JSON.stringify([type, status, reason, message]);
}
