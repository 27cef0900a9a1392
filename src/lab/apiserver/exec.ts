// SPDX-License-Identifier: Apache-2.0
import type { RawData, WebSocket } from "ws";
import { errorText } from "#lib/errors.ts";
import type { ExecRequest, ExecStreams, TerminalSize } from "./kubelet.ts";
import { isObject, type Json, type JsonObject, numberAt } from "./object.ts";
import type { PodTarget } from "./pod-target.ts";

/** Subprotocols of remote commands, best first; v5 lets the client close one channel (KEP-4006). */
export const execProtocols = ["v5.channel.k8s.io", "v4.channel.k8s.io"] as const;

const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;
/** The client is not read further while this much input waits for the command. */
const inputLimitBytes = 1024 * 1024;

/** Runs a command for a client: each message's first byte is the channel. Resolves when the connection is closed. */
export async function serveExec(target: PodTarget, query: URLSearchParams, socket: WebSocket): Promise<void> {
  const request: ExecRequest = {
    command: query.getAll("command"),
    tty: isTrue(query, "tty"),
    stdin: isTrue(query, "stdin"),
  };
  const gone = new AbortController();
  socket.on("close", () => gone.abort());
  socket.on("error", () => gone.abort());
  const { streams, input } = createStreams(socket, gone.signal);
  if (!request.stdin) input.end();
  // Says that the command has been taken, as the kubelet does.
  await send(socket, channel.stdout, new Uint8Array(0));
  let status: JsonObject;
  try {
    status = exitStatus(await target.kubelet.exec(target.pod, target.container, request, streams));
  } catch (thrown) {
    status = failure("InternalError", `error executing command in container: ${errorText(thrown)}`);
  }
  input.end();
  await send(socket, channel.error, Buffer.from(JSON.stringify(status)));
  socket.close(1000);
}

function isTrue(query: URLSearchParams, name: string): boolean {
  return query.get(name) === "true" || query.get(name) === "1";
}

function exitStatus(code: number): JsonObject {
  if (code === 0) return { metadata: {}, status: "Success" };
  const causes = [{ reason: "ExitCode", message: String(code) }];
  return { ...failure("NonZeroExitCode", `command terminated with exit code ${code}`), details: { causes } };
}

function failure(reason: string, message: string): JsonObject {
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", reason, message };
}

function send(socket: WebSocket, to: number, data: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    if (socket.readyState !== socket.OPEN) return resolve();
    const message = Buffer.allocUnsafe(data.length + 1);
    message[0] = to;
    message.set(data, 1);
    // A failed send means a closed connection, which the command hears from its signal.
    socket.send(message, () => resolve());
  });
}

function createStreams(socket: WebSocket, signal: AbortSignal): { streams: ExecStreams; input: InputQueue } {
  const input = new InputQueue(socket);
  const listeners: ((size: TerminalSize) => void)[] = [];
  let size: TerminalSize | undefined;
  socket.on("message", (raw: RawData) => {
    const message = Array.isArray(raw) ? Buffer.concat(raw) : Buffer.from(raw as Buffer);
    const data = message.subarray(1);
    if (message[0] === channel.stdin && data.length > 0) input.push(data);
    else if (message[0] === channel.close && data[0] === channel.stdin) input.end();
    else if (message[0] === channel.resize) {
      size = terminalSize(data) ?? size;
      if (size) for (const listener of listeners) listener(size);
    }
  });
  signal.addEventListener("abort", () => input.end(), { once: true });
  const streams: ExecStreams = {
    stdin: input,
    stdout: (chunk) => send(socket, channel.stdout, chunk),
    stderr: (chunk) => send(socket, channel.stderr, chunk),
    onResize: (listener) => {
      listeners.push(listener);
      if (size) listener(size);
    },
    signal,
  };
  return { streams, input };
}

function terminalSize(data: Uint8Array): TerminalSize | undefined {
  try {
    const parsed = JSON.parse(Buffer.from(data).toString()) as Json;
    return isObject(parsed)
      ? { width: numberAt(parsed, "Width"), height: numberAt(parsed, "Height") }
      : undefined;
  } catch {
    return undefined;
  }
}

/** The client's input, read at the command's pace. */
class InputQueue implements AsyncIterable<Uint8Array> {
  readonly #socket: WebSocket;
  #chunks: Uint8Array[] = [];
  #size = 0;
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  push(chunk: Uint8Array): void {
    if (this.#ended) return;
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    if (this.#size > inputLimitBytes) this.#socket.pause();
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#socket.resume();
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    while (true) {
      const chunks = this.#chunks;
      this.#chunks = [];
      this.#size = 0;
      if (this.#socket.isPaused) this.#socket.resume();
      yield* chunks;
      if (this.#chunks.length > 0) continue;
      if (this.#ended) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }
}
