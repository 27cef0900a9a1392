// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { request as httpRequest, type IncomingMessage } from "node:http";
import type { Writable } from "node:stream";
import { WeftError } from "#lib/errors.ts";
import type { ExecRequest, ExecStreams, KubeletClient, LogOptions } from "./apiserver/kubelet.ts";
import { type KubeObject, stringAt } from "./apiserver/object.ts";
import type { ExecSpec, NodeProbeRequest, NodeProbeResult } from "./kubelet/server.ts";
import type { LabPlan } from "./layout.ts";
import { podCommand } from "./pod-command.ts";

/** Exec and logs for the API server: logs from the node's kubelet, commands started right here in the pod's namespaces. */
export function createKubeletClient(plan: LabPlan): KubeletClient {
  return {
    logs: (pod, container, options, signal) => readLogs(plan, { pod, container, options, signal }),
    exec: async (pod, container, request, streams) => {
      const spec = await execSpecOf(plan, podPlace(pod), container);
      return await runExec(spec, request, streams);
    },
  };
}

interface Place {
  readonly node: string;
  /** `namespace/name` */
  readonly pod: string;
}

function podPlace(pod: KubeObject): Place {
  const node = stringAt(pod, "spec", "nodeName");
  if (node === "") throw new WeftError("E_LAB", `pod ${pod.metadata.name} has no node yet`);
  return { node, pod: `${pod.metadata.namespace}/${pod.metadata.name}` };
}

/** Asks a node's kubelet how to run a command in a container. @throws WeftError E_LAB when it does not run */
export async function execSpecOf(plan: LabPlan, { node, pod }: Place, container?: string): Promise<ExecSpec> {
  const query = new URLSearchParams({ pod, ...(container && { container }) });
  return JSON.parse(await text(await ask(plan, node, { path: `/exec?${query}` }))) as ExecSpec;
}

/** Makes connection attempts from pods of one node. */
export async function probeFrom(
  plan: LabPlan,
  node: string,
  body: NodeProbeRequest,
  signal?: AbortSignal,
): Promise<NodeProbeResult[]> {
  const answer = await ask(plan, node, { path: "/probe", body: JSON.stringify(body), signal });
  return JSON.parse(await text(answer)) as NodeProbeResult[];
}

interface Ask {
  readonly path: string;
  readonly body?: string;
  readonly signal?: AbortSignal | undefined;
}

async function ask(plan: LabPlan, node: string, { path, body, signal }: Ask): Promise<IncomingMessage> {
  const socketPath = plan.nodes.find(({ name }) => name === node)?.kubelet;
  if (!socketPath) throw new WeftError("E_LAB", `the lab has no node "${node}"`);
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = httpRequest(
      { socketPath, path, method: body === undefined ? "GET" : "POST", ...(signal && { signal }) },
      resolve,
    );
    outgoing.once("error", (cause) =>
      reject(new WeftError("E_LAB", `the kubelet of ${node} does not answer`, { cause })),
    );
    outgoing.end(body);
  });
  if (answer.statusCode !== 200)
    throw new WeftError(
      "E_LAB",
      (await text(answer)) || `the kubelet of ${node} answered ${answer.statusCode}`,
    );
  return answer;
}

async function text(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

interface Logs {
  readonly pod: KubeObject;
  readonly container: string;
  readonly options: LogOptions;
  readonly signal: AbortSignal;
}

async function* readLogs(
  plan: LabPlan,
  { pod, container, options, signal }: Logs,
): AsyncIterable<Uint8Array> {
  const { node, pod: name } = podPlace(pod);
  const query = new URLSearchParams({
    pod: name,
    container,
    follow: String(options.follow),
    timestamps: String(options.timestamps),
  });
  if (options.previous) query.set("previous", "true");
  if (options.tailLines !== undefined) query.set("tail", String(options.tailLines));
  const since = options.sinceTime
    ? Date.parse(options.sinceTime)
    : options.sinceSeconds && Date.now() - options.sinceSeconds * 1000;
  if (since) query.set("sinceMs", String(since));
  let left = options.limitBytes ?? Number.POSITIVE_INFINITY;
  const answer = await ask(plan, node, { path: `/logs?${query}`, signal });
  for await (const chunk of answer) {
    const bytes = (chunk as Buffer).subarray(0, Math.min(left, (chunk as Buffer).length));
    yield bytes;
    left -= bytes.length;
    if (left <= 0) return;
  }
}

/** Starts the command by pod-exec and joins its streams; resolves with the exit code. */
async function runExec(spec: ExecSpec, request: ExecRequest, streams: ExecStreams): Promise<number> {
  const { file, args } = podCommand({ ...spec, argv: request.command, tty: request.tty });
  const env = { ...spec.env, ...(request.tty && { TERM: "xterm" }) };
  const child = spawn(file, args, {
    env,
    stdio: ["pipe", "pipe", "pipe", request.tty ? "pipe" : "ignore"],
    detached: true,
  });
  const kill = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    } catch {
      // It has ended.
    }
  };
  streams.signal.addEventListener("abort", kill, { once: true });
  const resize = child.stdio[3] as Writable | null;
  resize?.on("error", () => {});
  streams.onResize(({ width, height }) => resize?.write(`${height}x${width}\n`));
  child.stdin?.on("error", () => {});
  void feed(streams.stdin, child.stdin as Writable);
  const drained = Promise.all([drain(child.stdout, streams.stdout), drain(child.stderr, streams.stderr)]);
  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (exit, signal) => resolve(exit ?? (signal === "SIGKILL" ? 137 : 143)));
    });
    await drained;
    return code;
  } finally {
    streams.signal.removeEventListener("abort", kill);
  }
}

async function feed(from: AsyncIterable<Uint8Array>, to: Writable): Promise<void> {
  try {
    for await (const chunk of from) {
      if (!to.write(chunk)) await new Promise((resolve) => to.once("drain", resolve).once("close", resolve));
    }
  } catch {
    // The client is gone: the command's input ends.
  }
  to.end();
}

async function drain(
  from: AsyncIterable<Uint8Array> | null,
  to: (chunk: Uint8Array) => Promise<void>,
): Promise<void> {
  if (!from) return;
  for await (const chunk of from) await to(chunk);
}
