// SPDX-License-Identifier: Apache-2.0
import { request as httpRequest } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import { errorText } from "#lib/errors.ts";
import type { Container, Probe } from "../objects.ts";

export interface ProbeTarget {
  /** The pod's first address. */
  readonly ip: string;
  readonly container: Container;
  /** Runs a command in the container; resolves with its exit code. */
  exec(command: readonly string[], timeoutMs: number): Promise<number>;
}

export interface ProbeOutcome {
  readonly ok: boolean;
  readonly message: string;
}

/** One attempt, from this process's network namespace (the node's), as a kubelet makes it. Never rejects. */
export async function attemptProbe(probe: Probe, target: ProbeTarget): Promise<ProbeOutcome> {
  const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000;
  try {
    if (probe.httpGet) return await httpGet(probe.httpGet, target, timeoutMs);
    if (probe.tcpSocket) {
      const { host, port } = probe.tcpSocket;
      return await tcp(host ?? target.ip, portNumber(port, target.container), timeoutMs);
    }
    if (probe.grpc) return await grpcHealth(target.ip, probe.grpc, timeoutMs);
    if (probe.exec) {
      const code = await target.exec(probe.exec.command ?? [], timeoutMs);
      return { ok: code === 0, message: `command exited with code ${code}` };
    }
    return { ok: true, message: "nothing to ask" };
  } catch (thrown) {
    return { ok: false, message: errorText(thrown) };
  }
}

function portNumber(port: number | string, container: Container): number {
  if (typeof port === "number") return port;
  const found = container.ports?.find((one) => one.name === port)?.containerPort ?? Number(port);
  if (!Number.isInteger(found)) throw new Error(`container ${container.name} has no port named "${port}"`);
  return found;
}

type HttpGet = NonNullable<Probe["httpGet"]>;

function httpGet(get: HttpGet, { ip, container }: ProbeTarget, timeoutMs: number): Promise<ProbeOutcome> {
  const secure = get.scheme?.toUpperCase() === "HTTPS";
  const headers: Record<string, string> = {
    "user-agent": "kube-probe/1.32",
    accept: "*/*",
    connection: "close",
  };
  for (const { name, value } of get.httpHeaders ?? []) headers[name.toLowerCase()] = value;
  const path = get.path?.startsWith("/") ? get.path : `/${get.path ?? ""}`;
  const options = {
    host: get.host ?? ip,
    port: portNumber(get.port, container),
    path,
    headers,
    agent: false,
    signal: AbortSignal.timeout(timeoutMs),
    rejectUnauthorized: false,
  } as const;
  return new Promise((resolve, reject) => {
    const outgoing = (secure ? httpsRequest : httpRequest)(options, (answer) => {
      const code = answer.statusCode ?? 0;
      answer.destroy();
      resolve({ ok: code >= 200 && code < 400, message: `HTTP probe answered ${code}` });
    });
    outgoing.once("error", reject);
    outgoing.end();
  });
}

function tcp(host: string, port: number, timeoutMs: number): Promise<ProbeOutcome> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const timer = setTimeout(
      () => socket.destroy(new Error(`no connection to ${host}:${port} in ${timeoutMs} ms`)),
      timeoutMs,
    );
    socket.once("connect", () => {
      resolve({ ok: true, message: "connected" });
      socket.destroy();
    });
    socket.once("error", reject);
    socket.once("close", () => clearTimeout(timer));
  });
}

/** `grpc.health.v1.Health/Check` (gRPC health checking protocol): OK when the status in the answer is SERVING (1). */
function grpcHealth(
  host: string,
  { port, service = "" }: { port: number; service?: string },
  timeoutMs: number,
): Promise<ProbeOutcome> {
  const name = Buffer.from(service);
  const message = name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.of(0x0a, name.length), name]);
  const frame = Buffer.concat([Buffer.of(0, 0, 0, 0, message.length), message]);
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`http://${host.includes(":") ? `[${host}]` : host}:${port}`);
    const timer = setTimeout(
      () => session.destroy(new Error(`no answer from ${host}:${port} in ${timeoutMs} ms`)),
      timeoutMs,
    );
    session.once("error", reject);
    session.once("close", () => clearTimeout(timer));
    const stream = session.request({
      ":method": "POST",
      ":path": "/grpc.health.v1.Health/Check",
      "content-type": "application/grpc",
      te: "trailers",
      "user-agent": "kube-probe/1.32",
    });
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.once("error", reject);
    stream.once("end", () => {
      const body = Buffer.concat(chunks);
      const ok = body[5] === 0x08 && body[6] === 1;
      resolve({ ok, message: ok ? "SERVING" : "not SERVING" });
      session.close();
    });
    stream.end(frame);
  });
}

export interface ProbeLoop {
  readonly probe: Probe;
  readonly target: ProbeTarget;
  readonly signal: AbortSignal;
  /** Called when the verdict changes by the thresholds, the first time with the first decision. */
  onVerdict(ok: boolean, message: string): void;
  /** A stand-in has nothing to warm up: it is asked at once instead of after initialDelaySeconds. */
  readonly skipDelay: boolean;
  /** Thresholds count from this verdict: readiness starts as failed, liveness as passed. */
  readonly initially: boolean;
}

/** Asks until the signal aborts; decides by successThreshold and failureThreshold. */
export function startProbeLoop(loop: ProbeLoop): void {
  const { probe, signal } = loop;
  const periodMs = (probe.periodSeconds ?? 10) * 1000;
  const delayMs = loop.skipDelay ? 0 : (probe.initialDelaySeconds ?? 0) * 1000;
  let verdict = loop.initially;
  let [passed, failed] = [0, 0];
  let quick = 8;
  const ask = async () => {
    const outcome = await attemptProbe(probe, loop.target);
    if (signal.aborted) return;
    [passed, failed] = outcome.ok ? [passed + 1, 0] : [0, failed + 1];
    const next = outcome.ok
      ? verdict || passed >= (probe.successThreshold ?? 1)
      : verdict && failed < (probe.failureThreshold ?? 3);
    // A container that has just started is asked again soon: its period may be half a minute.
    const soon = !next && !loop.initially && quick-- > 0 ? Math.min(periodMs, 250) : periodMs;
    if (next !== verdict || (!outcome.ok && !next && failed === (probe.failureThreshold ?? 3)))
      loop.onVerdict(next, outcome.message);
    verdict = next;
    schedule(soon);
  };
  const schedule = (ms: number) => {
    const timer = setTimeout(() => void ask(), ms);
    signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  };
  schedule(delayMs);
}
