// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { resolve } from "node:path";
import { createKubeClient } from "#k8s/client.ts";
import { loadCredentials } from "#k8s/kubeconfig.ts";
import { entryPoint } from "#lib/assets.ts";
import { WeftError } from "#lib/errors.ts";
import { type AgentSettings, checkAgentSettings } from "./agent-config.ts";
import { type Applied, type ApplyOptions, applyManifests } from "./apply.ts";
import { loadImageMap } from "./image-map.ts";
import { DETACHED_LOG, type LabPlan, type LabShape, planLab, STATE_DIR, statePaths } from "./layout.ts";
import { loadManifests } from "./manifest.ts";
import { logTail } from "./processes.ts";
import { type LabProgress, timedStep } from "./progress.ts";
import { type Readiness, readiness, waitReady } from "./ready.ts";
import { readRecord, writeRecord } from "./record.ts";
import { type Lab, type LabDeps, startLab } from "./supervisor.ts";

export interface UpOptions {
  readonly shape: LabShape;
  /** Manifests to apply once the API server answers. */
  readonly files: readonly string[];
  /** Directory the files were named in, when it is another than this process's. */
  readonly from?: string;
  readonly imageMap?: string;
  /** Of all agents, beside what the lab itself says. */
  readonly settings?: AgentSettings;
  /** For all pods to be ready. Default 120 s. */
  readonly timeoutMs?: number;
  /** Instead of the installation's own, and without agents: for tests of the lab itself. */
  readonly cniBinDirs?: readonly string[];
  readonly agents?: boolean;
}

/** What runs beside the nodes for the whole lab; rooms above this one start it. */
export interface LabServices extends AsyncDisposable {
  /** Address of the observer over all nodes, `127.0.0.1:4245`. */
  readonly observer?: string;
}

export interface UpDeps extends LabDeps {
  startServices?(plan: LabPlan, signal: AbortSignal): Promise<LabServices>;
  onApplied?(applied: Applied): void;
  /** As of `applyManifests`. */
  readonly annotate?: ApplyOptions["annotate"];
  onReadiness?(readiness: Readiness): void;
  /** Some pods did not become ready in time. The lab stays: looking at it is how one finds out why. */
  onNotReady?(message: string): void;
}

/**
 * Brings a lab up in this process: nodes, services, manifests, all pods ready. The manifests are read before anything
 * is made, so a broken file costs nothing. When anything fails, nothing of the lab is left.
 */
export async function labUp(options: UpOptions, deps: UpDeps): Promise<Lab> {
  requireRoot();
  loadManifests(options.files);
  if (options.imageMap) loadImageMap(options.imageMap);
  checkAgentSettings(options.settings ?? {});
  await using stack = new AsyncDisposableStack();
  const { shape, cniBinDirs, agents } = options;
  const lab = stack.use(
    await startLab(
      {
        shape,
        ...(options.imageMap && { imageMap: resolve(options.imageMap) }),
        ...(options.settings && { settings: options.settings }),
        ...(cniBinDirs && { cniBinDirs }),
        ...(agents !== undefined && { agents }),
      },
      deps,
    ),
  );
  try {
    return await finishUp(options, deps, { lab, stack });
  } catch (thrown) {
    // The logs go with the lab: what they say of the failure has to be in the error.
    const trouble = nodeTrouble(lab.plan);
    if (!(thrown instanceof WeftError) || trouble === "" || deps.signal.aborted) throw thrown;
    throw new WeftError(thrown.code, thrown.message, { cause: thrown.cause, hint: trouble });
  }
}

interface Begun {
  readonly lab: Lab;
  readonly stack: AsyncDisposableStack;
}

async function finishUp(options: UpOptions, deps: UpDeps, { lab, stack }: Begun): Promise<Lab> {
  const services = await deps.startServices?.(lab.plan, deps.signal);
  if (services) stack.use(services);
  writeRecord({
    ...readRecord()!,
    metrics: lab.metricsUrl,
    ...(services?.observer && { observer: services.observer }),
  });
  if (options.files.length > 0) {
    // Nodes and name service first, as a cluster has them before it is used: what asks for a name as it starts gets it.
    await timedStep(deps.progress, "cluster", () => podsReady(options, deps, lab));
    await timedStep(deps.progress, "manifests", () => applyFiles(options, deps));
  }
  await timedStep(deps.progress, "pods", () => podsReady(options, deps, lab));
  const kept = stack.move();
  return { ...lab, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** A pod that does not come up is the manifest's affair, a node that does not is the lab's: that is an error. */
async function podsReady(options: UpOptions, deps: UpDeps, lab: Lab): Promise<void> {
  try {
    await waitReady(lab.cluster, {
      nodes: lab.plan.nodes.length,
      timeoutMs: options.timeoutMs ?? 120_000,
      signal: deps.signal,
      ...(deps.onReadiness && { onChange: deps.onReadiness }),
    });
  } catch (thrown) {
    const { nodes, nodesReady } = readiness(lab.cluster);
    const late = thrown instanceof WeftError && thrown.code === "E_LAB_TIMEOUT" && nodesReady === nodes;
    if (!late || !deps.onNotReady) throw thrown;
    deps.onNotReady(thrown.message);
  }
}

/** The last complaint of each agent and kubelet, one a line. */
function nodeTrouble(plan: LabPlan): string {
  const lines = plan.nodes.flatMap((node) =>
    [node.agentLog, node.nodeLog].flatMap((path) => {
      const last = logTail(path, 200)
        .split("\n")
        .findLast((line) => /"level":[456]0/.test(line) || /Error/.test(line));
      return last === undefined ? [] : [`${path}: ${last.slice(0, 500)}`];
    }),
  );
  return lines.join("\n  ");
}

function requireRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new WeftError("E_ROOT", "the lab makes network namespaces and loads BPF programs, so it needs root", {
    hint: "run it with sudo",
  });
}

async function applyFiles(options: UpOptions, deps: UpDeps): Promise<void> {
  using client = createKubeClient(await loadCredentials(statePaths.kubeconfig), { userAgent: "weft" });
  await applyManifests({
    client,
    paths: options.files,
    signal: deps.signal,
    ...(deps.onApplied && { onApplied: deps.onApplied }),
    ...(deps.annotate && { annotate: deps.annotate }),
  });
}

/** What a detached supervisor says to the command that started it. */
export type SupervisorMessage =
  | { readonly type: "progress"; readonly step: Parameters<LabProgress>[0] }
  | { readonly type: "applied"; readonly applied: Applied }
  | { readonly type: "readiness"; readonly readiness: Readiness }
  | { readonly type: "notReady"; readonly message: string }
  | { readonly type: "ready" }
  | { readonly type: "failed"; readonly code: string; readonly message: string; readonly hint?: string };

/** Brings a lab up in a process of its own, which stays. Resolves when all pods are ready. */
export async function labUpDetached(
  options: UpOptions,
  deps: Omit<UpDeps, "startServices" | "log">,
): Promise<void> {
  requireRoot();
  loadManifests(options.files);
  const files = options.files.map((path) => (path === "-" ? path : resolve(path)));
  if (files.includes("-"))
    throw new WeftError("E_USAGE", "--detach cannot read manifests from stdin; apply them afterwards");
  planLab(options.shape);
  checkAgentSettings(options.settings ?? {});
  mkdirSync(STATE_DIR, { recursive: true, mode: 0o755 });
  const log = openSync(DETACHED_LOG, "w", 0o640);
  const argv = [
    "--disable-warning=ExperimentalWarning",
    entryPoint("lab-supervisor", "src/main/lab-supervisor.ts"),
    JSON.stringify({
      ...options,
      files,
      from: process.cwd(),
      ...(options.imageMap && { imageMap: resolve(options.imageMap) }),
    }),
  ];
  const child = spawn(process.execPath, argv, {
    stdio: ["ignore", log, log, "ipc"],
    detached: true,
    cwd: "/",
  });
  closeSync(log);
  const stop = () => child.kill("SIGTERM");
  deps.signal.addEventListener("abort", stop, { once: true });
  try {
    await new Promise<void>((done, reject) => {
      child.once("error", reject);
      child.once("exit", (code, signal) => {
        const how = signal ? `killed by ${signal}` : `exit code ${code}`;
        reject(new WeftError("E_LAB", `the lab's supervisor ended (${how}): ${logTail(DETACHED_LOG, 3)}`));
      });
      child.on("message", (message: SupervisorMessage) => {
        if (message.type === "progress") deps.progress?.(message.step);
        else if (message.type === "applied") deps.onApplied?.(message.applied);
        else if (message.type === "readiness") deps.onReadiness?.(message.readiness);
        else if (message.type === "notReady") deps.onNotReady?.(message.message);
        else if (message.type === "ready") done();
        else reject(new WeftError(message.code, message.message, message.hint ? { hint: message.hint } : {}));
      });
    });
  } finally {
    deps.signal.removeEventListener("abort", stop);
    child.removeAllListeners();
    if (child.connected) child.disconnect();
    child.unref();
  }
}
