// SPDX-License-Identifier: Apache-2.0
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { runProbes } from "#kernel/probe.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import { listenOwnerOnly } from "#lib/unix-socket.ts";
import { parseAddress } from "#model/ip.ts";
import { CLUSTER_DOMAIN } from "../dns/records.ts";
import { encodeMessage, RecordType } from "../dns/wire.ts";
import { podPath } from "../pod-command.ts";
import type { ContainerSlot } from "./container-slot.ts";
import type { LogLine } from "./log-buffer.ts";
import type { PodWorker } from "./pod-worker.ts";

/** One connection attempt asked of a node. */
export interface NodeProbe {
  /** `namespace/name` of a pod of it; "": the node itself. */
  readonly from: string;
  readonly to: string;
  /** 0 for ICMP. */
  readonly port: number;
  readonly protocol: "TCP" | "UDP" | "SCTP" | "ICMP";
}

export interface NodeProbeRequest {
  readonly timeoutMs: number;
  readonly probes: readonly NodeProbe[];
}

export interface NodeProbeResult {
  readonly outcome: "connected" | "refused" | "timeout" | "failed";
  readonly errno?: string;
  readonly ms: number;
}

/** How a command is run in a container: arguments of the pod-exec program go before it. */
export interface ExecSpec {
  readonly netns: string;
  readonly cgroup: string;
  readonly root?: string;
  readonly cwd?: string;
  readonly hostname: string;
  readonly etc: string;
  readonly env: Readonly<Record<string, string>>;
}

const MAX_BODY = 16 << 20;
const DNS_PORT = 53;
/** A name server is silent to what is no question. */
const dnsQuestion = encodeMessage({
  id: 1,
  response: false,
  authoritative: false,
  truncated: false,
  recursionDesired: true,
  code: 0,
  question: { name: `kubernetes.default.svc.${CLUSTER_DOMAIN}`, type: RecordType.A },
  answers: [],
});
/** Attempts of one node at a time. */
const CONCURRENCY = 512;

/** The node's side of exec, logs and probes, on a unix socket only root can open. */
export async function serveKubelet(
  path: string,
  workers: ReadonlyMap<string, PodWorker>,
): Promise<AsyncDisposable> {
  const server = createServer((request, response) => {
    handle(request, response, workers).catch((thrown: unknown) => {
      if (!response.headersSent) response.writeHead(thrown instanceof WeftError ? 400 : 500);
      response.end(errorText(thrown));
    });
  });
  await listenOwnerOnly(server, path);
  return {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  workers: ReadonlyMap<string, PodWorker>,
): Promise<void> {
  const url = new URL(request.url ?? "/", "http://kubelet");
  switch (url.pathname) {
    case "/probe": {
      const body = JSON.parse(await readBody(request)) as NodeProbeRequest;
      return send(response, await probe(body, workers));
    }
    case "/exec":
      return send(response, execSpec(...findContainer(url, workers)));
    case "/logs":
      return sendLogs(url, findContainer(url, workers)[1], response);
    default:
      response.writeHead(404).end();
  }
}

function send(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size > MAX_BODY) throw new WeftError("E_LAB", "the request is too long");
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString();
}

function findContainer(url: URL, workers: ReadonlyMap<string, PodWorker>): [PodWorker, ContainerSlot] {
  const pod = url.searchParams.get("pod") ?? "";
  const name = url.searchParams.get("container") ?? undefined;
  const worker = workers.get(pod);
  if (!worker) throw new WeftError("E_LAB", `pod ${pod} is not on this node`);
  const slot = worker.container(name);
  if (!slot) throw new WeftError("E_LAB", `pod ${pod} has no container "${name}"`);
  return [worker, slot];
}

function execSpec(worker: PodWorker, slot: ContainerSlot): ExecSpec {
  if (!slot.isRunning)
    throw new WeftError(
      "E_LAB",
      `container ${slot.spec.name} of pod ${worker.pod.metadata.name} is not running`,
    );
  const { netns, cgroup, root, cwd, hostname } = slot.command([]);
  const env = {
    PATH: podPath(),
    HOME: "/root",
    HOSTNAME: hostname,
    ...(slot.play.kind === "process" ? slot.play.env : {}),
    ...slot.env,
  };
  return { netns, cgroup, hostname, etc: worker.etc, env, ...(root && { root }), ...(cwd && { cwd }) };
}

async function probe(
  { probes, timeoutMs }: NodeProbeRequest,
  workers: ReadonlyMap<string, PodWorker>,
): Promise<NodeProbeResult[]> {
  const wanted = probes.map(({ from, to, port, protocol }) => {
    const worker = from === "" ? undefined : workers.get(from);
    if (from !== "" && (!worker || (!worker.sandbox && !worker.pod.spec.hostNetwork)))
      throw new WeftError("E_LAB", `pod ${from} is not running on this node`);
    const payload = protocol === "UDP" && port === DNS_PORT ? { payload: dnsQuestion } : {};
    return { protocol, to: parseAddress(to), port, ...(worker && { netns: worker.netns }), ...payload };
  });
  return await runProbes(wanted, { timeoutMs, concurrency: CONCURRENCY });
}

function sendLogs(url: URL, slot: ContainerSlot, response: ServerResponse): void {
  const query = url.searchParams;
  const log = query.get("previous") === "true" ? slot.previousLog : slot.log;
  if (!log) throw new WeftError("E_LAB", `previous terminated container "${slot.spec.name}" not found`);
  const number = (name: string) => (query.has(name) ? Number(query.get(name)) : undefined);
  const [tail, sinceMs] = [number("tail"), number("sinceMs")];
  const stamps = query.get("timestamps") === "true";
  const text = (line: LogLine) =>
    stamps ? `${new Date(line.timeMs).toISOString()} ${line.text}\n` : `${line.text}\n`;
  response.writeHead(200, { "content-type": "text/plain; charset=utf-8" });
  const lines = log.lines({ ...(tail !== undefined && { tail }), ...(sinceMs !== undefined && { sinceMs }) });
  response.write(lines.map(text).join(""));
  if (query.get("follow") !== "true") {
    response.end();
    return;
  }
  response.flushHeaders();
  const stop = log.follow({ onLine: (line) => response.write(text(line)), onEnd: () => response.end() });
  response.once("close", stop);
}
