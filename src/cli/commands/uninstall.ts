// SPDX-License-Identifier: Apache-2.0
import { createInterface } from "node:readline/promises";
import { styleText } from "node:util";
import { Command } from "commander";
import { loadChart } from "#install/chart.ts";
import { policiesOf, uninstall } from "#install/uninstall.ts";
import { createKubeClient, type KubeClient } from "#k8s/client.ts";
import { loadCredentials } from "#k8s/kubeconfig.ts";
import { WeftError } from "#lib/errors.ts";
import { interruption, wholeNumber, withClusterOptions } from "./install.ts";

interface Arguments {
  readonly namespace: string;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly crds?: boolean;
  readonly yes?: boolean;
  readonly nodesOnly?: boolean;
  readonly skipLostNodes?: boolean;
  readonly image?: string;
  readonly timeout: number;
}

/** `weft uninstall`: cleans every node, then deletes what was installed. */
export function uninstallCommand(): Command {
  return withClusterOptions(new Command("uninstall"))
    .description("take Weft out of a cluster; every node is left as it was found")
    .option("--crds", "delete the definitions of Weft's kinds too, and with them every such policy")
    .option("-y, --yes", "do not ask")
    .option(
      "--nodes-only",
      "clean the nodes, delete what was written about the network, leave the installation's objects (what Helm's hook runs)",
    )
    .option("--skip-lost-nodes", "go on without nodes nobody hears of")
    .option("--image <ref>", "image of the pods that clean (default: the one running agents have)")
    .option("--timeout <sec>", "how long each step may take", wholeNumber, 300)
    .action(run);
}

async function run(args: Arguments): Promise<void> {
  const signal = interruption();
  const credentials = await loadCredentials(args.kubeconfig, {
    ...(args.context && { context: args.context }),
  });
  using client = createKubeClient(credentials);
  if (args.crds && !args.nodesOnly) await confirmLoss(client, args, signal);
  let last = "";
  const say = (text: string) => process.stderr.write(`${text}\n`);
  await uninstall({
    ...args,
    client,
    signal,
    chart: loadChart(),
    timeoutMs: args.timeout * 1000,
    onApplied: ({ what, action }) => say(`  ${what} ${action}`),
    onCleanup: ({ clean, waiting }) => {
      const text = `  … ${clean.length} nodes clean${waiting.length > 0 ? `, waiting for ${waiting.join(", ")}` : ""}`;
      if (text !== last) say(text);
      last = text;
    },
  });
  say(`  ${styleText("green", "✓")} ${args.nodesOnly ? "nodes are clean" : "Weft is gone"}`);
}

/** What people wrote is not deleted by the way. */
async function confirmLoss(client: KubeClient, args: Arguments, signal: AbortSignal): Promise<void> {
  const found = (await policiesOf(client, signal)).filter(({ count }) => count > 0);
  if (found.length === 0 || args.yes) return;
  const what = found.map(({ kind, count }) => `${count} ${kind}`).join(" and ");
  const refused = new WeftError("E_DATA_LOSS", `--crds would delete ${what}`, {
    hint: "save them first (`kubectl get cnp,ccnp -A -o yaml`), then say --yes",
  });
  if (!process.stdin.isTTY) throw refused;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`Delete ${what}? [y/N] `, { signal });
    if (!/^y(es)?$/i.test(answer.trim())) throw refused;
  } finally {
    terminal.close();
  }
}
