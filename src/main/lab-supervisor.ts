// SPDX-License-Identifier: Apache-2.0
import { relative } from "node:path";
import { annotateSource } from "#cli/policy-files.ts";
import { labUp, type SupervisorMessage, type UpOptions } from "#lab/up.ts";
import { aborted } from "#lib/clock.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import { createLogger } from "#lib/log.ts";
import { startLabServices } from "./lab-services.ts";

/** The supervisor of a detached lab: `labUp` in a process of its own, until SIGTERM. */
async function main(): Promise<void> {
  const options = JSON.parse(process.argv[2] ?? "{}") as UpOptions;
  const nameOf = (file: string) => (options.from === undefined ? file : relative(options.from, file));
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const)
    process.once(name, () => stop.abort(new WeftError("E_STOPPED", `stopped by ${name}`)));
  process.on("SIGHUP", () => {});
  process.on("disconnect", () => {});
  const tell = (message: SupervisorMessage) => {
    if (process.connected) process.send?.(message);
  };
  try {
    const lab = await labUp(options, {
      log: createLogger("lab"),
      signal: stop.signal,
      startServices: startLabServices,
      annotate: (document, namespace) =>
        annotateSource({ ...document, file: nameOf(document.file) }, namespace),
      progress: (step) => tell({ type: "progress", step }),
      onApplied: (applied) => tell({ type: "applied", applied }),
      onReadiness: (readiness) => tell({ type: "readiness", readiness }),
      onNotReady: (message) => tell({ type: "notReady", message }),
    });
    tell({ type: "ready" });
    await aborted(stop.signal);
    await lab[Symbol.asyncDispose]();
    process.exit(0);
  } catch (error) {
    const known = error instanceof WeftError ? error : undefined;
    tell({
      type: "failed",
      code: known?.code ?? "E_LAB",
      message: errorText(error),
      ...(known?.hint && { hint: known.hint }),
    });
    process.exit(1);
  }
}

await main();
