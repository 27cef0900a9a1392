// SPDX-License-Identifier: Apache-2.0
import { Command } from "commander";
import { type Commands, loadCommands } from "#cli/lazy.ts";
import { installedVersion } from "#cli/version.ts";

const startServices = async () => (await import("./lab-services.ts")).startLabServices;

/** By heading of the help. `asked`: the words of the command line. */
const commandsOf = (asked: readonly string[]): Readonly<Record<string, Commands>> => ({
  "Try it:": {
    lab: async () => (await import("#cli/commands/lab.ts")).labCommand(startServices, asked[1]),
  },
  "Run a cluster's network:": {
    install: async () => (await import("#cli/commands/install.ts")).installCommand(),
    upgrade: async () => (await import("#cli/commands/install.ts")).upgradeCommand(),
    uninstall: async () => (await import("#cli/commands/uninstall.ts")).uninstallCommand(),
  },
  "Look at the network:": {
    observe: async () => (await import("#cli/observe.ts")).observeCommand(),
    explain: async () => (await import("#cli/commands/explain.ts")).explainCommand(),
    status: async () => (await import("#cli/commands/status.ts")).statusCommand(),
    connectivity: async () => (await import("#cli/commands/connectivity.ts")).connectivityCommand(),
    sysdump: async () => (await import("#cli/commands/sysdump.ts")).sysdumpCommand(),
  },
  "Look inside:": {
    endpoint: async () => (await import("#cli/commands/inspect.ts")).endpointCommand(),
    identity: async () => (await import("#cli/commands/inspect.ts")).identityCommand(),
    service: async () => (await import("#cli/commands/service.ts")).serviceCommand(),
    egress: async () => (await import("#cli/commands/inspect.ts")).egressCommand(),
    prefilter: async () => (await import("#cli/commands/prefilter.ts")).prefilterCommand(),
    policy: async () => (await import("#cli/commands/policy.ts")).policyCommand(),
    bpf: async () => (await import("#cli/commands/inspect.ts")).bpfCommand(),
    db: async () => (await import("#cli/commands/inspect.ts")).dbCommand(),
  },
});

const hidden: Commands = {
  raw: async () => (await import("#cli/commands/raw.ts")).rawCommand(),
};

/** With the command that is asked for, or with all where it is none of them. */
export async function program(asked: readonly string[]): Promise<Command> {
  const weft = new Command("weft")
    .description("weft connects, balances, secures and shows the network of a Kubernetes cluster.")
    .version(installedVersion())
    .configureHelp({ sortSubcommands: false, showGlobalOptions: false })
    .enablePositionalOptions()
    .exitOverride()
    .showSuggestionAfterError();
  const [name = ""] = asked;
  const groups = Object.entries(commandsOf(asked));
  const isOf = (commands: Commands) => name in commands;
  const isKnown = isOf(hidden) || groups.some(([, commands]) => isOf(commands));
  for (const [heading, commands] of groups) {
    if (isKnown && !isOf(commands)) continue;
    weft.commandsGroup(heading);
    for (const command of await loadCommands(commands, name)) weft.addCommand(command);
  }
  if (!isKnown || isOf(hidden))
    for (const command of await loadCommands(hidden, name)) weft.addCommand(command, { hidden: true });
  inheritExit(weft);
  return weft;
}

/** Commander copies settings only to commands it makes itself; ours are made elsewhere. */
function inheritExit(command: Command, path = command.name()): void {
  command.showHelpAfterError(`  \`${path} --help\` says what there is`);
  for (const child of command.commands) {
    child.copyInheritedSettings(command);
    inheritExit(child, `${path} ${child.name()}`);
  }
}
