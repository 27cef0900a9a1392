// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { type FlowReport, reportText } from "../load/report.ts";

const denied = ({ flow }: FlowReport) => flow.startsWith("denied/");

/** Nothing that may not was answered; the stranger did try. */
export function assertNothingDeniedPassed(reports: readonly FlowReport[]): void {
  const strangers = reports.filter(denied);
  assert.ok(strangers.length > 0);
  const wrong = strangers.filter(({ received, sent }) => received > 0 || sent === 0);
  assert.deepEqual(wrong, [], reportText(wrong));
}

/**
 * Every flow (of those that are asked for) ran all the time and lost nothing, no segment either, and nothing denied passed. How long
 * something took says nothing on a busy machine.
 */
export function assertNothingLost(reports: readonly FlowReport[], which = /./): void {
  const asked = reports.filter((report) => !denied(report) && which.test(report.flow));
  assert.ok(asked.length > 0);
  const bad = asked.filter(
    ({ sent, lost, missing, seconds, resent }) =>
      sent === 0 || lost > 0 || missing > seconds / 2 || resent > 0,
  );
  assert.deepEqual(
    bad.map(({ flow }) => flow),
    [],
    `${reportText(bad)}\nof:\n${reportText(asked)}`,
  );
  assertNothingDeniedPassed(reports);
}
