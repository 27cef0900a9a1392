// SPDX-License-Identifier: Apache-2.0
import { CommanderError } from "commander";
import { errorText, WeftError } from "#lib/errors.ts";
import { program } from "./weft-program.ts";

/** Exit codes: 0 done, 1 failed, 2 called wrongly. */
async function main(): Promise<void> {
  try {
    await (await program(process.argv.slice(2))).parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : 2;
      return;
    }
    process.stderr.write(`weft: ${errorText(error)}\n`);
    if (error instanceof WeftError && error.hint) process.stderr.write(`  ${error.hint}\n`);
    process.exitCode = error instanceof WeftError && error.code === "E_USAGE" ? 2 : 1;
  }
}

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
});
await main();
