// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { nodeGrid, podGrid, reach } from "#cli/print/lab.ts";
import { outputForm, printObject, renderGrid } from "#cli/print/table.ts";
import { labDown } from "#lab/down.ts";
import { labExec } from "#lab/exec.ts";
import { statePaths } from "#lab/layout.ts";
import { labStatus, runningLab } from "#lab/status.ts";

export function statusCommand(): Command {
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

export function execCommand(): Command {
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

export function kubeconfigCommand(): Command {
  return new Command("kubeconfig").description("print the lab's kubeconfig").action(() => {
    runningLab();
    process.stdout.write(readFileSync(statePaths.kubeconfig, "utf8"));
  });
}

export function downCommand(): Command {
  return new Command("down")
    .description("take the lab down, also what a killed one left")
    .action(async () => {
      const gone = await labDown(AbortSignal.timeout(60_000));
      const what =
        gone.supervisor || gone.namespaces > 0 || gone.pins ? "the lab is down" : "there was no lab";
      process.stdout.write(`${what}\n`);
    });
}
