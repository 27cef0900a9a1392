// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { type FlowReport, reportText } from "../load/report.ts";

/** A SYN or a segment is sent again after 200 ms and 1 s at the soonest, a question never: what took less was not lost on the way. */
const LOST_MS = 900;

const denied = ({ flow }: FlowReport) => flow.startsWith("denied/");

/** Nothing that may not was answered; the stranger did try. */
export function assertNothingDeniedPassed(reports: readonly FlowReport[]): void {
  const strangers = reports.filter(denied);
  assert.ok(strangers.length > 0);
  const wrong = strangers.filter(({ received, sent }) => received > 0 || sent === 0);
  assert.deepEqual(wrong, [], reportText(wrong));
}

/** Every flow (of those that are asked for) ran all the time and lost nothing, and nothing denied passed. */
export function assertNothingLost(reports: readonly FlowReport[], which = /./): void {
  const asked = reports.filter((report) => !denied(report) && which.test(report.flow));
  assert.ok(asked.length > 0);
  const bad = asked.filter(
    ({ sent, lost, missing, slowestMs, resent }) =>
      sent === 0 || lost > 0 || missing > 1 || slowestMs >= LOST_MS || resent > 0,
  );
  assert.deepEqual(
    bad.map(({ flow }) => flow),
    [],
    `${reportText(bad)}\nof:\n${reportText(asked)}`,
  );
  assertNothingDeniedPassed(reports);
}
