// SPDX-License-Identifier: Apache-2.0
import type { RawData, WebSocket } from "ws";
import type { KubeClient } from "#k8s/client.ts";
import { KubeError, type Status } from "#k8s/errors.ts";
import { resourcePath, resources } from "#k8s/resource.ts";
import { bytesOf } from "#k8s/web-socket.ts";
import { WeftError } from "#lib/errors.ts";

/** A container of a running pod. */
export interface ContainerRef {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
}

export interface ExecOptions {
  readonly command: readonly string[];
  readonly signal: AbortSignal;
  stdout(chunk: Buffer): void;
  stderr(chunk: Buffer): void;
}

/** A command that runs in a container. */
export interface Exec {
  /** Resolves with its exit code; rejects when it could not be started or the connection broke. */
  readonly ended: Promise<number>;
  /** Gives it input; only when it was started with `stdin`. */
  write(text: string): void;
  /** Ends its connection; the runtime leaves the command running, so end its input first where it listens to that. */
  close(): void;
}

export interface ExecResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** v5 can close one channel (KEP-4006); v4 is what servers before 1.30 speak. */
const protocols = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, close: 255 } as const;
/** Of input at a time: runtimes take no message of any length. */
const chunkChars = 16_384;
const defaultMaxBytes = 64 * 2 ** 20;

/** Starts a command in a container through the API server. @throws KubeError when the server refuses */
export async function startExec(
  client: KubeClient,
  at: ContainerRef,
  options: ExecOptions & { readonly stdin?: boolean },
): Promise<Exec> {
  const { command, signal, stdin = false } = options;
  const socket = await client.webSocket({
    path: resourcePath(resources.pods, { namespace: at.namespace, name: at.pod, subresource: "exec" }),
    query: [
      ...command.map((word) => ["command", word] as const),
      ["container", at.container],
      ["stdin", String(stdin)],
      ["stdout", "true"],
      ["stderr", "true"],
      ["tty", "false"],
    ],
    protocols,
    signal,
  });
  const ended = exitOf(socket, at, options);
  ended.catch(() => {});
  socket.resume();
  return {
    ended,
    write: (text) => socket.send(Buffer.concat([Buffer.of(channel.stdin), Buffer.from(text)])),
    close: () => {
      if (stdin && socket.protocol === protocols[0] && socket.readyState === socket.OPEN)
        socket.send(Buffer.of(channel.close, channel.stdin));
      socket.close(1000);
    },
  };
}

function exitOf(socket: WebSocket, at: ContainerRef, options: ExecOptions): Promise<number> {
  const name = `${at.namespace}/${at.pod}`;
  return new Promise((resolve, reject) => {
    socket.on("message", (raw: RawData) => {
      const message = bytesOf(raw);
      const data = message.subarray(1);
      if (message[0] === channel.stdout && data.length > 0) options.stdout(data);
      else if (message[0] === channel.stderr && data.length > 0) options.stderr(data);
      else if (message[0] === channel.error) {
        try {
          resolve(exitCode(JSON.parse(data.toString()) as ExitStatus, name));
        } catch (thrown) {
          reject(thrown);
        }
        socket.close(1000);
      }
    });
    socket.on("close", (code) => {
      if (options.signal.aborted) reject(options.signal.reason);
      reject(
        new KubeError(`exec in pod ${name}: the connection ended (${code}) before the command`, {
          status: 0,
          reason: "Unreachable",
        }),
      );
    });
  });
}

interface ExitStatus extends Status {
  readonly status?: string;
  readonly details?: { readonly causes?: readonly { readonly reason?: string; readonly message?: string }[] };
}

/** The code in what the server says at the end. @throws KubeError when the command was not run at all */
function exitCode(status: ExitStatus, name: string): number {
  if (status.status === "Success") return 0;
  const cause = status.details?.causes?.find(({ reason }) => reason === "ExitCode");
  if (status.reason === "NonZeroExitCode" && cause) return Number(cause.message);
  throw new KubeError(`exec in pod ${name}: ${status.message ?? "failed"}`, {
    status: status.code ?? 500,
    reason: status.reason ?? "InternalError",
  });
}

/**
 * Runs a command to its end and gives its output as text. `input` is all it reads; its end is not told, so it has to show by itself.
 * @throws KubeError when it cannot be run; WeftError E_TOO_LONG when it says more than `maxBytes` (default 64 MiB)
 */
export async function execText(
  client: KubeClient,
  at: ContainerRef,
  options: {
    readonly command: readonly string[];
    readonly signal: AbortSignal;
    readonly maxBytes?: number;
    readonly input?: string;
  },
): Promise<ExecResult> {
  const { command, maxBytes = defaultMaxBytes, input } = options;
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  let size = 0;
  const into = (list: Buffer[]) => (chunk: Buffer) => {
    size += chunk.length;
    if (size > maxBytes)
      stop.abort(new WeftError("E_TOO_LONG", `${command.join(" ")} says more than ${maxBytes} bytes`));
    else list.push(chunk);
  };
  const stdin = input !== undefined;
  const running = await startExec(client, at, {
    command,
    signal,
    stdin,
    stdout: into(out),
    stderr: into(err),
  });
  for (let from = 0; stdin && from < input.length; from += chunkChars)
    running.write(input.slice(from, from + chunkChars));
  const code = await running.ended;
  return { code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
}
