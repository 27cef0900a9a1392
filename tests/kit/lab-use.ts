// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import {
  labBpfDir,
  labCgroup,
  labPrefix,
  labStateDir,
  type RunOptions,
  run,
  runOk,
  weftJson,
  weftOk,
} from "./lab-run.ts";

/** `weft lab status -o json`, as far as tests read it. */
export interface LabStatus {
  readonly pid: number;
  readonly api: string;
  readonly kubeconfig: string;
  readonly observer: string;
  readonly metrics: string;
  readonly nodes: readonly {
    readonly name: string;
    readonly ready: boolean;
    readonly addresses: readonly string[];
  }[];
  readonly pods: readonly LabPod[];
}

export interface LabPod {
  readonly namespace: string;
  readonly name: string;
  readonly workload: string;
  readonly node: string;
  readonly ips: readonly string[];
  readonly ready: boolean;
  readonly phase: string;
}

export interface LabSetup {
  readonly nodes?: number;
  readonly routing?: "tunnel" | "native";
  readonly families?: "v4" | "v6" | "dual";
  /** Of the agents: `policy.audit=true`. */
  readonly settings?: readonly string[];
  /** Files below tests/lab/manifests, or paths. */
  readonly files?: readonly string[];
}

export const manifests = join(import.meta.dirname, "../lab/manifests");

export async function labUp(setup: LabSetup = {}): Promise<LabStatus> {
  const { nodes = 2, routing, families, settings = [], files = [] } = setup;
  const shape = ["--nodes", String(nodes), "--routing", routing ?? "tunnel", "--families", families ?? "v4"];
  const given = files.flatMap((file) => ["-f", file.includes("/") ? file : join(manifests, file)]);
  const set = settings.flatMap((one) => ["--set", one]);
  await weftOk("lab", "up", "--detach", "--timeout", "45", ...shape, ...set, ...given);
  return await labStatus();
}

export function labStatus(): Promise<LabStatus> {
  return weftJson<LabStatus>("lab", "status");
}

/** Brings a lab up before the tests of a file and takes it down after them, also when they failed; then nothing of it may be left. */
export function useLab(setup: LabSetup = {}): { status: LabStatus } {
  const lab: { status: LabStatus } = { status: undefined as unknown as LabStatus };
  before(async () => {
    lab.status = await labUp(setup);
  });
  after(async () => {
    await weftOk("lab", "down");
    assertNothingLeft();
  });
  return lab;
}

/** The pod of that name or workload. @throws when there is none */
export function podOf(status: LabStatus, namespace: string, name: string): LabPod {
  const found = status.pods.find(
    (pod) => pod.namespace === namespace && (pod.name === name || pod.workload === name),
  );
  assert.ok(found, `pod ${namespace}/${name}: ${status.pods.map((pod) => pod.name).join(" ")}`);
  return found;
}

export function kubectl(args: readonly string[], options: RunOptions = {}) {
  return run(["kubectl", "--kubeconfig", join(labStateDir, "kubeconfig"), ...args], options);
}

export function kubectlOk(args: readonly string[], options: RunOptions = {}): Promise<string> {
  return runOk(["kubectl", "--kubeconfig", join(labStateDir, "kubeconfig"), ...args], options);
}

/** Everything on this machine that carries the lab's name. */
export function labLeftovers(): string[] {
  const found: string[] = [];
  const netns = existsSync("/run/netns") ? readdirSync("/run/netns") : [];
  found.push(...netns.filter((name) => name.startsWith(labPrefix)).map((name) => `namespace ${name}`));
  for (const path of [labBpfDir, labCgroup]) if (existsSync(path)) found.push(path);
  found.push(
    ...readdirSync("/run")
      .filter((name) => name.startsWith(labPrefix))
      .map((name) => `/run/${name}`),
  );
  for (const [pid, command] of labProcesses()) found.push(`process ${pid}: ${command}`);
  return found;
}

/** Processes of the lab, by cgroup or command line; not this one. */
export function labProcesses(): Map<number, string> {
  const found = new Map<number, string>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    try {
      const command = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ");
      const cgroup = readFileSync(`/proc/${name}/cgroup`, "utf8");
      readlinkSync(`/proc/${name}/exe`);
      if (command.includes(`${labStateDir}/`) || cgroup.includes(`/${labPrefix}/`))
        found.set(Number(name), command);
    } catch {
      // It has ended, or it is the kernel's.
    }
  }
  return found;
}

export function assertNothingLeft(): void {
  assert.deepEqual(labLeftovers(), []);
}
