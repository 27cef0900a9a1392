// SPDX-License-Identifier: Apache-2.0
import type { Writable } from "node:stream";
import { styleText } from "node:util";
import type { UpDeps } from "#lab/up.ts";

/** Prints the steps of a lab coming up, one line each; on a terminal the last line moves along. */
export function labProgress(
  out: Writable & { readonly isTTY?: boolean },
): Required<Pick<UpDeps, "progress" | "onApplied" | "onReadiness" | "onNotReady">> {
  let live = "";
  let applied = 0;
  const show = (text: string) => {
    if (!out.isTTY) return;
    out.write(`\r\x1b[K${text}`);
    live = text;
  };
  const line = (text: string) => {
    out.write(`${live === "" ? "" : "\r\x1b[K"}${text}\n`);
    live = "";
  };
  let late = "";
  return {
    onNotReady: (message) => {
      late = message;
      process.exitCode = 1;
    },
    progress: (step) => {
      if (step.done && late !== "") line(`  ${styleText("red", "✗")} ${step.name}: ${late}`);
      else if (!step.done) show(`  … ${step.name}`);
      else {
        const count = step.name === "manifests" && applied > 0 ? ` (${applied} objects)` : "";
        line(
          `  ${styleText("green", "✓")} ${step.name}${count} ${styleText("dim", `${(step.ms / 1000).toFixed(1)} s`)}`,
        );
      }
    },
    onApplied: () => {
      applied++;
    },
    onReadiness: (state) => {
      const first = state.waitingFor[0];
      show(`  … ${state.podsReady} of ${state.pods} pods ready${first ? `, waiting for ${first}` : ""}`);
    },
  };
}
