// SPDX-License-Identifier: Apache-2.0
import { styleText } from "node:util";
import { type RolloutOptions, type RolloutState, waitForRollout } from "#install/rollout.ts";

/** Waits for a rollout and says on stderr how far it is: one line that moves along on a terminal, else a line per change. */
export async function showRollout(options: Omit<RolloutOptions, "onState">): Promise<void> {
  const startedMs = performance.now();
  const out = process.stderr;
  let last = "";
  const show = (text: string) => {
    if (text === last) return;
    out.write(out.isTTY ? `\r\x1b[K  … ${text}` : `  … ${text}\n`);
    last = text;
  };
  try {
    await waitForRollout({ ...options, onState: (state) => show(stateText(state)) });
  } finally {
    if (out.isTTY && last !== "") out.write("\r\x1b[K");
  }
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  out.write(`  ${styleText("green", "✓")} ${last} ${styleText("dim", `${seconds} s`)}\n`);
}

function stateText(state: RolloutState): string {
  const parts = state.parts.map(({ what, ready, wanted }) => `${what} ${ready}/${wanted}`).join(", ");
  const first = state.hanging[0];
  return first ? `${parts}; ${first.pod}: ${first.why}` : parts;
}
