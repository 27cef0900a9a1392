// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { join } from "node:path";
import { resources } from "#k8s/resource.ts";
import { cgroupRoot, createCgroup } from "#kernel/cgroup.ts";
import { netnsPath } from "#kernel/netns.ts";
import { WeftError } from "#lib/errors.ts";
import { execSpecOf } from "./kubelet-client.ts";
import { type LabPlan, PREFIX, WORLD } from "./layout.ts";
import type { Pod } from "./objects.ts";
import { type PodCommand, podCommand, podPath } from "./pod-command.ts";
import { labClient, runningLab, workloadOf } from "./status.ts";

export interface LabExec {
  /** `namespace/pod`, `pod`, a workload's name, a node's name, or `world` for the outside. */
  readonly target: string;
  readonly container?: string;
  /** For a target that names none. */
  readonly namespace?: string;
  readonly argv: readonly string[];
}

/** Runs a command in a pod, on a node or in the world, on this process's own streams; resolves with its exit code. */
export async function labExec(exec: LabExec): Promise<number> {
  const { plan } = runningLab();
  if (exec.argv.length === 0)
    throw new WeftError("E_USAGE", "there is no command to run", { hint: "weft lab exec POD -- COMMAND" });
  const { command, env } = placeOf(plan, exec) ?? (await podPlace(plan, exec));
  createCgroup(command.cgroup, "/");
  const { file, args } = podCommand(command);
  const child = spawn(file, args, {
    env: { ...process.env, PATH: podPath(process.env.PATH), ...env },
    stdio: "inherit",
  });
  return await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) =>
      resolve(code ?? (signal === "SIGINT" ? 130 : signal === "SIGKILL" ? 137 : 143)),
    );
  });
}

type Place = { readonly command: PodCommand; readonly env: Readonly<Record<string, string>> };

function placeOf(plan: LabPlan, { target, argv }: LabExec): Place | undefined {
  const node = plan.nodes.find((one) => one.name === target);
  if (target === "world")
    return {
      command: { netns: netnsPath(WORLD), cgroup: join(cgroupRoot(), PREFIX, "world"), argv },
      env: {},
    };
  return (
    node && {
      command: { netns: netnsPath(node.netns), cgroup: join(cgroupRoot(), node.cgroup, "exec"), argv },
      env: {},
    }
  );
}

async function podPlace(plan: LabPlan, exec: LabExec): Promise<Place> {
  using client = await labClient();
  const slash = exec.target.indexOf("/");
  const namespace = slash < 0 ? (exec.namespace ?? "default") : exec.target.slice(0, slash);
  const name = exec.target.slice(slash + 1);
  const pods = (await client.list<Pod>(resources.pods, { namespace })).items;
  const pod = pods.find((one) => one.metadata.name === name) ?? pods.find((one) => workloadOf(one) === name);
  if (!pod?.spec.nodeName) {
    throw new WeftError("E_NOT_FOUND", `there is no pod "${name}" in namespace ${namespace}`, {
      hint: "`weft lab status` lists pods",
    });
  }
  const spec = await execSpecOf(
    plan,
    { node: pod.spec.nodeName, pod: `${namespace}/${pod.metadata.name}` },
    exec.container,
  );
  return { command: { ...spec, argv: exec.argv }, env: spec.env };
}
