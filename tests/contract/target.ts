// SPDX-License-Identifier: Apache-2.0
// An API server under test, seen as any client sees it: HTTPS and JSON, no library.
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { createInterface } from "node:readline";
import type { Json, JsonObject, KubeObject } from "#lab/apiserver/object.ts";

export type TargetName = "embedded" | "kubernetes";

export interface Answer {
  readonly code: number;
  readonly headers: IncomingMessage["headers"];
  /** The JSON body; `{text}` for anything else. */
  readonly body: JsonObject;
}

export interface WatchEvent {
  readonly type: string;
  readonly object: KubeObject;
}

export interface Watch {
  /** The following event; undefined when the server ended the watch. @throws when none comes in 20 s */
  next(): Promise<WatchEvent | undefined>;
  close(): void;
}

export interface Target extends AsyncDisposable {
  readonly name: TargetName;
  call(
    method: string,
    path: string,
    body?: Json,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Answer>;
  watch(path: string, accept?: string): Promise<Watch>;
  /** A resource version that the server has forgotten by now. */
  forgottenVersion(): Promise<string>;
  /** A continue token as this one, of a list that the server has forgotten by now. */
  forgottenToken(token: string): Promise<string>;
}

export interface Connection {
  readonly host: string;
  readonly port: number;
  /** PEM. */
  readonly ca: string;
  readonly token?: string;
  /** PEM, in place of a token. */
  readonly cert?: string;
  readonly key?: string;
}

export const deadlineMs = 20_000;

/** `call` and `watch` over a connection; disposing of it closes its sockets. */
export function connectTo({
  host,
  port,
  ca,
  token,
  cert,
  key,
}: Connection): Pick<Target, "call" | "watch"> & Disposable {
  const agent = new Agent({ ca, keepAlive: true, ...(cert && { cert }), ...(key && { key }) });
  const authorization: Record<string, string> =
    token === undefined ? {} : { authorization: `Bearer ${token}` };
  const open = async (
    method: string,
    path: string,
    body: Json,
    headers: Readonly<Record<string, string>>,
  ): Promise<IncomingMessage> => {
    const text = body === undefined ? "" : typeof body === "string" ? body : JSON.stringify(body);
    const all = { ...authorization, "content-length": Buffer.byteLength(text), ...headers };
    const sent = request({ host, port, path, method, agent, headers: all });
    sent.end(text);
    const [response] = (await once(sent, "response", { signal: AbortSignal.timeout(deadlineMs) })) as [
      IncomingMessage,
    ];
    return response;
  };
  return {
    call: async (method, path, body, headers = {}) => {
      const response = await open(method, path, body, { "content-type": "application/json", ...headers });
      const chunks: Buffer[] = [];
      for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
      const text = Buffer.concat(chunks).toString();
      const isJson = response.headers["content-type"]?.startsWith("application/json");
      const parsed = isJson ? (JSON.parse(text) as JsonObject) : { text };
      return { code: response.statusCode ?? 0, headers: response.headers, body: parsed };
    },
    watch: async (path, accept = "application/json") =>
      watchOf(await open("GET", path, undefined, { accept })),
    [Symbol.dispose]: () => agent.destroy(),
  };
}

function watchOf(response: IncomingMessage): Watch {
  const lines = createInterface({ input: response })[Symbol.asyncIterator]();
  return {
    next: async () => {
      const late = AbortSignal.timeout(deadlineMs);
      late.addEventListener("abort", () => response.destroy(new Error("no event came in 20 s")), {
        once: true,
      });
      const line = await lines.next();
      if (late.aborted) throw new Error("no event came in 20 s");
      return line.done ? undefined : (JSON.parse(line.value) as WatchEvent);
    },
    close: () => void response.destroy(),
  };
}
