// SPDX-License-Identifier: Apache-2.0
import type { LabProgress } from "#lab/progress.ts";

/** One line per step that is done. */
export const showStep: LabProgress = ({ name, done, ms, detail }) => {
  if (done) console.log(`  ✓ ${name}${detail ? ` (${detail})` : ""} ${(ms / 1000).toFixed(1)} s`);
};
