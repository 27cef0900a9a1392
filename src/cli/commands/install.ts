// SPDX-License-Identifier: Apache-2.0
import { styleText } from "node:util";
import { Command } from "commander";
import { stringify } from "yaml";
import { customResourceDefinitions } from "#api/crd/definitions.ts";
import { showRollout } from "#cli/print/rollout.ts";
import { type OutputForm, outputForm, printObject } from "#cli/print/table.ts";
import type { Applied } from "#install/apply.ts";
import { type Chart, loadChart, loadProfile, readValues, renderChart, renderNotes } from "#install/chart.ts";
import { applyPlan, type Plan, planInstall } from "#install/install.ts";
import { inOrder } from "#install/kinds.ts";
import { mergeValues, parseSet, type Tree } from "#install/values-merge.ts";
import { createKubeClient, type KubeClient } from "#k8s/client.ts";
import { loadCredentials } from "#k8s/kubeconfig.ts";
import { WeftError } from "#lib/errors.ts";

interface Arguments {
  readonly namespace: string;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly profile?: string;
  readonly values?: readonly string[];
  readonly set?: readonly string[];
  readonly wait?: boolean;
  readonly timeout: number;
  readonly dryRun?: boolean;
  readonly output?: string;
  readonly resetValues?: boolean;
  readonly allowDisruption?: boolean;
  readonly allowDowngrade?: boolean;
}

/** `weft install`: applies the chart's manifests; again and again with the same result. */
export function installCommand(): Command {
  const command = new Command("install").description("install Weft as the network of a cluster");
  return withOptions(command).action((args: Arguments) => install(args, false));
}

/** `weft upgrade`: as install, keeping the values given before. */
export function upgradeCommand(): Command {
  const command = new Command("upgrade")
    .description("bring an installation to this version, or change its values")
    .option("--reset-values", "forget the values given before");
  return withOptions(command).action((args: Arguments) => install(args, true));
}

/** Which cluster: options of every command that speaks to one. */
export function withClusterOptions(command: Command): Command {
  return command
    .option("-n, --namespace <name>", "namespace of the installation", "kube-system")
    .option("--kubeconfig <file>", "how to reach the cluster (default: $KUBECONFIG, then ~/.kube/config)")
    .option("--context <name>", "context of the kubeconfig");
}

function withOptions(command: Command): Command {
  return withClusterOptions(command)
    .option("--profile <name>", "values for a kind of cluster: default, native-routing, dual-stack")
    .option("-f, --values <file>", "file of values (repeatable; - is stdin)", collect)
    .option("--set <key=value>", "one value, as a.b=c (repeatable)", collect)
    .option("--wait", "wait until every node has its network")
    .option("--timeout <sec>", "how long to wait", wholeNumber, 300)
    .option("--dry-run", "write nothing; with -o yaml show the manifests")
    .option("-o, --output <form>", "with --dry-run: yaml or json")
    .option("--allow-disruption", "accept changes that interrupt the cluster's network")
    .option("--allow-downgrade", "accept that the cluster runs a newer version");
}

async function install(args: Arguments, upgrade: boolean): Promise<void> {
  const form = outputForm(args.output);
  if (args.output !== undefined && !args.dryRun)
    throw new WeftError("E_USAGE", "--output goes with --dry-run only");
  const chart = loadChart();
  const values = givenValues(chart, args);
  const { namespace } = args;
  const signal = interruption();
  using client = await clientOrNone(args);
  if (!client) {
    printManifests(offlineManifests(chart, namespace, values), form);
    return;
  }
  const plan = await planInstall({ ...args, client, chart, namespace, values, upgrade, signal });
  for (const warning of plan.warnings) say(`${styleText("yellow", "warning:")} ${warning}`);
  if (args.dryRun && args.output !== undefined) {
    printManifests(plan.objects, form);
    return;
  }
  printChanges(plan, chart);
  if (args.dryRun) return;
  const counts = new Map<Applied["action"], number>();
  await applyPlan({ client, namespace, signal }, plan, ({ what, action }) => {
    counts.set(action, (counts.get(action) ?? 0) + 1);
    if (action !== "unchanged") say(`  ${what} ${action}`);
  });
  const summary = [...counts].map(([action, count]) => `${count} ${action}`).join(", ");
  say(`Weft ${chart.appVersion} in namespace ${namespace}: ${summary}`);
  if (args.wait) await showRollout({ client, namespace, timeoutMs: args.timeout * 1000, signal });
  else say(`\n${renderNotes(chart, { namespace, values: plan.inventory.settled })}`.trimEnd());
}

/** A profile below files below single values. */
function givenValues(chart: Chart, args: Arguments): Tree {
  const layers = [
    ...(args.profile ? [loadProfile(chart, args.profile)] : []),
    ...(args.values ?? []).map(readValues),
    ...(args.set ?? []).map(parseSet),
  ];
  return layers.reduce<Tree>(mergeValues, {});
}

/** Manifests can be had without a cluster; then nothing is known of it. */
async function clientOrNone(args: Arguments): Promise<(KubeClient & Disposable) | undefined> {
  try {
    return createKubeClient(
      await loadCredentials(args.kubeconfig, { ...(args.context && { context: args.context }) }),
    );
  } catch (thrown) {
    const none = thrown instanceof WeftError && thrown.message === "there is no kubeconfig";
    if (none && args.dryRun && args.output !== undefined) return undefined;
    throw thrown;
  }
}

function offlineManifests(chart: Chart, namespace: string, values: Tree): readonly object[] {
  say(
    `${styleText("yellow", "warning:")} there is no kubeconfig: apiServer.host and config.families are as given`,
  );
  return inOrder([...customResourceDefinitions, ...renderChart(chart, { namespace, values })]);
}

function printManifests(objects: readonly object[], form: OutputForm): void {
  if (form === "json") {
    printObject({ apiVersion: "v1", kind: "List", items: objects }, form, (text) =>
      process.stdout.write(text),
    );
    return;
  }
  const documents = objects.map((object) =>
    stringify(object, { aliasDuplicateObjects: false, lineWidth: 0 }),
  );
  process.stdout.write(documents.join("---\n"));
}

function printChanges(plan: Plan, chart: Chart): void {
  const from = plan.installedVersion;
  if (from === undefined) say(`Installing Weft ${chart.appVersion}`);
  else if (from !== chart.appVersion) say(`Upgrading Weft ${from} to ${chart.appVersion}`);
  for (const { path, from: old, to } of plan.changes)
    say(`  ${path}: ${JSON.stringify(old)} → ${JSON.stringify(to)}`);
}

/** Progress and words for people go to stderr: stdout is for what was asked. */
function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Aborts at Ctrl-C. */
export function interruption(): AbortSignal {
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const)
    process.once(name, () => stop.abort(new WeftError("E_STOPPED", `interrupted by ${name}`)));
  return stop.signal;
}

function collect(value: string, list: readonly string[] = []): string[] {
  return [...list, value];
}

export function wholeNumber(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new WeftError("E_USAGE", `"${text}" is not a whole number`);
  return Number(text);
}
