// SPDX-License-Identifier: Apache-2.0
import type { PolicyRow } from "./table.ts";

/**
 * An object edited into one that is refused keeps the rules it had in force: what it isolated must not fall open by a mistake in an edit.
 * Known only to an agent that had them: one that starts later finds the object refused, without rules.
 * @param before the object's row so far
 */
export function keepLastGood(row: PolicyRow, before: PolicyRow | undefined): PolicyRow {
  if (!row.refused || !before || before.uid !== row.uid || before.rules.length === 0) return row;
  return { ...row, rules: before.rules, inForce: before.inForce ?? before.generation };
}
