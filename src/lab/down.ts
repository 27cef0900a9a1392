// SPDX-License-Identifier: Apache-2.0
import { rmSync } from "node:fs";
import { WeftError } from "#lib/errors.ts";
import { type Cleaned, cleanup } from "./cleanup.ts";
import { DETACHED_LOG } from "./layout.ts";

/** Takes the lab on this machine down, and what is left of one that died. @throws WeftError E_ROOT */
export async function labDown(signal: AbortSignal): Promise<Cleaned> {
  if (process.getuid?.() !== 0)
    throw new WeftError("E_ROOT", "taking the lab down needs root", { hint: "run it with sudo" });
  const cleaned = await cleanup(signal);
  rmSync(DETACHED_LOG, { force: true });
  return cleaned;
}
