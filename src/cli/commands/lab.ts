// SPDX-License-Identifier: Apache-2.0
import { Command } from "commander";
import { type Commands, loadCommands } from "#cli/lazy.ts";
import type { StartServices } from "./lab-up.ts";

/** `weft lab …`: a small cluster on this machine. `asked`: the word that follows on the command line. */
export async function labCommand(
  startServices: () => Promise<StartServices>,
  asked: string | undefined,
): Promise<Command> {
  const commands: Commands = {
    up: async () => (await import("./lab-up.ts")).upCommand(await startServices()),
    apply: async () => (await import("./lab-files.ts")).applyCommand(),
    delete: async () => (await import("./lab-files.ts")).deleteCommand(),
    status: async () => (await import("./lab-running.ts")).statusCommand(),
    probe: async () => (await import("./lab-probe.ts")).probeCommand(),
    exec: async () => (await import("./lab-running.ts")).execCommand(),
    kubeconfig: async () => (await import("./lab-running.ts")).kubeconfigCommand(),
    down: async () => (await import("./lab-running.ts")).downCommand(),
  };
  const lab = new Command("lab")
    .enablePositionalOptions()
    .description(
      "a cluster on this machine: nodes and pods are network namespaces, agents and datapath are real",
    );
  for (const command of await loadCommands(commands, asked)) lab.addCommand(command);
  return lab;
}
