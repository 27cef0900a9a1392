// SPDX-License-Identifier: Apache-2.0
import { Command } from "commander";
import { type SettingsArguments, withSettings } from "#cli/cluster-settings.ts";
import { liveCluster } from "#cli/live-objects.ts";
import { collect, fileCluster, fileObjects } from "#cli/offline-cluster.ts";
import { previewText } from "#cli/print/preview.ts";
import { printObject } from "#cli/print/table.ts";
import { recordedFlows } from "#cli/recorded-flows.ts";
import { type ClusterChoice, withKubeconfig } from "#cli/target.ts";
import { WeftError } from "#lib/errors.ts";
import type { OfflineCluster } from "#policy/offline/cluster.ts";
import type { RecordedFlow } from "#policy/offline/flows.ts";
import { preview } from "#policy/offline/preview.ts";

const manual = `
Examples:
  weft policy preview -f new.yaml                       against the running cluster and the flows its agents hold
  weft policy preview -f new.yaml --since 10m           only the flows of the last ten minutes
  weft policy preview --delete -f old.yaml              what taking policies away would do
  weft policy preview -f new.yaml --cluster k8s/ --flows flows.json    by files: no cluster, no root
                                                        (flows.json: weft observe --all -o json)
`;

/** What commands that look at a cluster and its flows have in common. */
export interface RecordedArguments extends ClusterChoice, SettingsArguments {
  readonly cluster?: readonly string[];
  readonly flows?: string;
  readonly since?: string;
  readonly server?: string;
}

export function withRecorded(command: Command): Command {
  return withKubeconfig(
    withSettings(command)
      .option(
        "--cluster <path>",
        "manifests that describe the cluster, instead of a running one (repeatable)",
        collect,
      )
      .option("--flows <file>", "flows from a file of `weft observe -o json` lines, - for stdin")
      .option("--since <time>", "only flows from a time on: 30s, 10m, 2026-11-22T15:04:05Z")
      .option("--server <address>", "observer to ask for flows"),
  );
}

interface PreviewArguments extends RecordedArguments {
  readonly filename: readonly string[];
  readonly delete?: boolean;
  readonly output: string;
}

export function previewCommand(): Command {
  const command = new Command("preview")
    .description("what policies would change before they are applied: flows, isolated pods, map entries")
    .requiredOption("-f, --filename <path>", "the new manifests (repeatable)", collect)
    .option("--delete", "they are taken away instead")
    .option("-o, --output <form>", "output form: text, json or yaml", "text");
  return withRecorded(command).addHelpText("after", manual).action(runPreview);
}

async function runPreview(args: PreviewArguments): Promise<void> {
  const { output: form } = args;
  if (form !== "text" && form !== "json" && form !== "yaml")
    throw new WeftError("E_USAGE", `unknown output form "${form}"`, { hint: "one of: text, json, yaml" });
  const objects = fileObjects(args.filename);
  const signal = AbortSignal.timeout(60_000);
  const cluster = await readCluster(args, signal);
  const flows = await readFlows(args, signal);
  const result = preview(cluster, args.delete ? { put: [], remove: objects } : { put: objects }, flows);
  const write = (text: string) => process.stdout.write(text);
  if (form === "text") write(previewText(result, process.stdout.columns));
  else printObject(result, form, write);
  if (result.refused.length > 0) process.exitCode = 1;
}

export async function readCluster(args: RecordedArguments, signal: AbortSignal): Promise<OfflineCluster> {
  return args.cluster ? fileCluster(args.cluster, args) : liveCluster(args, signal);
}

/** Offline there are the flows of the file, or none. */
export async function readFlows(args: RecordedArguments, signal: AbortSignal): Promise<RecordedFlow[]> {
  const { flows, cluster, since, server, kubeconfig, context } = args;
  if (flows === undefined && cluster) return [];
  const options = {
    ...(flows !== undefined && { inputFile: flows }),
    ...(since !== undefined && { since }),
    ...(server !== undefined && { server }),
    ...(kubeconfig !== undefined && { kubeconfig }),
    ...(context !== undefined && { context }),
  };
  return recordedFlows(options, signal);
}
