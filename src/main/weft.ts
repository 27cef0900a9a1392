// SPDX-License-Identifier: Apache-2.0
import { Command, CommanderError } from "commander";
import { connectivityCommand } from "#cli/commands/connectivity.ts";
import { explainCommand } from "#cli/commands/explain.ts";
import {
  bpfCommand,
  dbCommand,
  egressCommand,
  endpointCommand,
  identityCommand,
} from "#cli/commands/inspect.ts";
import { installCommand, upgradeCommand } from "#cli/commands/install.ts";
import { labCommand } from "#cli/commands/lab.ts";
import { policyCommand } from "#cli/commands/policy.ts";
import { prefilterCommand } from "#cli/commands/prefilter.ts";
import { rawCommand } from "#cli/commands/raw.ts";
import { serviceCommand } from "#cli/commands/service.ts";
import { statusCommand } from "#cli/commands/status.ts";
import { sysdumpCommand } from "#cli/commands/sysdump.ts";
import { uninstallCommand } from "#cli/commands/uninstall.ts";
import { observeCommand } from "#cli/observe.ts";
import { installedVersion } from "#cli/version.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import { startLabServices } from "./lab-services.ts";

function program(): Command {
  const weft = new Command("weft")
    .description("weft connects, balances, secures and shows the network of a Kubernetes cluster.")
    .version(installedVersion())
    .configureHelp({ sortSubcommands: false, showGlobalOptions: false })
    .enablePositionalOptions()
    .exitOverride()
    .showSuggestionAfterError();
  weft.commandsGroup("Try it:").addCommand(labCommand(startLabServices));
  weft.commandsGroup("Run a cluster's network:");
  weft.addCommand(installCommand()).addCommand(upgradeCommand()).addCommand(uninstallCommand());
  weft.commandsGroup("Look at the network:");
  weft.addCommand(observeCommand()).addCommand(explainCommand()).addCommand(statusCommand());
  weft.addCommand(connectivityCommand());
  weft.addCommand(sysdumpCommand());
  weft.commandsGroup("Look inside:");
  weft
    .addCommand(endpointCommand())
    .addCommand(identityCommand())
    .addCommand(serviceCommand())
    .addCommand(egressCommand())
    .addCommand(prefilterCommand())
    .addCommand(policyCommand());
  weft.addCommand(bpfCommand()).addCommand(dbCommand()).addCommand(rawCommand(), { hidden: true });
  inheritExit(weft);
  return weft;
}

/** Commander copies settings only to commands it makes itself; ours are made elsewhere. */
function inheritExit(command: Command): void {
  for (const child of command.commands) {
    child.copyInheritedSettings(command);
    inheritExit(child);
  }
}

/** Exit codes: 0 done, 1 failed, 2 called wrongly. */
async function main(): Promise<void> {
  try {
    await program().parseAsync();
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
