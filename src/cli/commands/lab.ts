// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { annotateSource, checkPolicyFiles } from "#cli/policy-files.ts";
import { nodeGrid, podGrid, reach } from "#cli/print/lab.ts";
import { outputForm, printObject, renderGrid } from "#cli/print/table.ts";
import { type Applied, applyManifests, deleteManifests } from "#lab/apply.ts";
import { labDown } from "#lab/down.ts";
import { labExec } from "#lab/exec.ts";
import { statePaths } from "#lab/layout.ts";
import { labClient, labStatus, runningLab } from "#lab/status.ts";
import { WeftError } from "#lib/errors.ts";
import { probeCommand } from "./lab-probe.ts";
import { type StartServices, upCommand } from "./lab-up.ts";

/** `weft lab …`: a small cluster on this machine. */
export function labCommand(startServices: StartServices): Command {
  return new Command("lab")
    .enablePositionalOptions()
    .description(
      "a cluster on this machine: nodes and pods are network namespaces, agents and datapath are real",
    )
    .addCommand(upCommand(startServices))
    .addCommand(filesCommand("apply", "create or change what the manifests say", applyManifests))
    .addCommand(filesCommand("delete", "delete what the manifests name", deleteManifests))
    .addCommand(statusCommand())
    .addCommand(probeCommand())
    .addCommand(execCommand())
    .addCommand(kubeconfigCommand())
    .addCommand(downCommand());
}

function filesCommand(name: string, description: string, work: typeof applyManifests): Command {
  return new Command(name)
    .description(description)
    .requiredOption(
      "-f, --filename <path>",
      "manifest file or directory, - for stdin (repeatable)",
      (value: string, list: string[] = []) => [...list, value],
    )
    .option("-n, --namespace <name>", "namespace of objects that name none")
    .action(async (options: { filename: string[]; namespace?: string }) => {
      if (work === applyManifests) checkPolicyFiles(options.filename);
      using client = await labClient();
      const onApplied = (one: Applied) => process.stdout.write(`${one.what} ${one.action}\n`);
      const done = await work({
        client,
        annotate: annotateSource,
        paths: options.filename,
        onApplied,
        ...(options.namespace && { namespace: options.namespace }),
      });
      if (done.length === 0)
        throw new WeftError("E_MANIFEST", `${options.filename.join(", ")}: there is no object in it`);
    });
}

function statusCommand(): Command {
  return new Command("status")
    .description("nodes and pods of the running lab, and where its API, observer and metrics answer")
    .option("-o, --output <form>", "output form: table, json or yaml")
    .action(async (options: { output?: string }) => {
      const form = outputForm(options.output);
      const status = await labStatus(AbortSignal.timeout(15_000));
      if (form === "json" || form === "yaml") printObject(status, form, (text) => process.stdout.write(text));
      else
        process.stdout.write(
          `${renderGrid(nodeGrid(status), false)}\n\n${renderGrid(podGrid(status), false)}\n\n${reach(status)}`,
        );
    });
}

function execCommand(): Command {
  return new Command("exec")
    .description("run a command in a pod, on a node (its name) or outside the cluster (`world`)")
    .argument("<pod>", "namespace/pod, or a workload's name, a node's, or `world`")
    .argument("<command...>", "the command, behind --")
    .option("-n, --namespace <name>", "namespace of the pod", "default")
    .option("-c, --container <name>", "container of the pod")
    .passThroughOptions()
    .action(async (target: string, argv: string[], options: { namespace: string; container?: string }) => {
      process.exitCode = await labExec({
        target,
        argv: argv[0] === "--" ? argv.slice(1) : argv,
        namespace: options.namespace,
        ...(options.container && { container: options.container }),
      });
    });
}

function kubeconfigCommand(): Command {
  return new Command("kubeconfig").description("print the lab's kubeconfig").action(() => {
    runningLab();
    process.stdout.write(readFileSync(statePaths.kubeconfig, "utf8"));
  });
}

function downCommand(): Command {
  return new Command("down")
    .description("take the lab down, also what a killed one left")
    .action(async () => {
      const gone = await labDown(AbortSignal.timeout(60_000));
      const what =
        gone.supervisor || gone.namespaces > 0 || gone.pins ? "the lab is down" : "there was no lab";
      process.stdout.write(`${what}\n`);
    });
}
