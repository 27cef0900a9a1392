// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { statePaths } from "#lab/layout.ts";
import { WeftError } from "#lib/errors.ts";

/** `weft lab …`: a small cluster on this machine. */
export function labCommand(): Command {
  const lab = new Command("lab").description("a cluster of network namespaces on this machine, with real agents");
  lab
    .command("kubeconfig")
    .description("print the lab's kubeconfig")
    .action(() => {
      try {
        process.stdout.write(readFileSync(statePaths.kubeconfig, "utf8"));
      } catch (cause) {
        throw new WeftError("E_LAB", "no lab runs on this machine", { cause, hint: "start one with `weft lab up`" });
      }
    });
  return lab;
}
