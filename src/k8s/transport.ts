// SPDX-License-Identifier: Apache-2.0
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { errorOfAnswer, KubeError } from "#k8s/errors.ts";
import type { Credentials } from "#k8s/kubeconfig.ts";
import { backoffMs } from "#lib/backoff.ts";
import { type Clock, pause } from "#lib/clock.ts";

export interface Request {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  /** Default application/json. */
  readonly contentType?: string;
  /** May be sent twice without harm: tried again after a lost connection or a 5xx. Default: GET, PUT and DELETE. */
  readonly idempotent?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** HTTP to one API server, over connections that are kept. Errors are those of {@link KubeError}. */
export interface Transport extends Disposable {
  /** The answer parsed; what can be repeated is, at most four times in all. */
  request<T>(request: Request): Promise<T>;
  /** An answer of status 2xx as it comes; no retries. */
  stream(request: Request): Promise<IncomingMessage>;
}

const maxTries = 4;
const answerTimeoutMs = 30_000;
const maxAnswerBytes = 512 * 2 ** 20;

export function createTransport(
  credentials: Credentials,
  options: { readonly clock: Clock; readonly userAgent: string },
): Transport {
  const connection = connect(credentials);

  const stream = async (request: Request): Promise<IncomingMessage> => {
    const token = await credentials.token();
    request.signal?.throwIfAborted();
    const answer = await send(connection, request, {
      accept: "application/json",
      "user-agent": options.userAgent,
      ...(token && { authorization: `Bearer ${token}` }),
    });
    const status = answer.statusCode ?? 0;
    if (status >= 200 && status < 300) return answer;
    const body = await readText(request, answer);
    throw errorOfAnswer(describe(request), { status, body, retryAfter: answer.headers["retry-after"] });
  };

  const once = async <T>(request: Request): Promise<T> => {
    const text = await readText(request, await stream(request));
    try {
      return JSON.parse(text) as T;
    } catch (cause) {
      throw unreachable(request, new Error(`the answer is not JSON (${text.length} characters)`, { cause }));
    }
  };

  const request = async <T>(wanted: Request): Promise<T> => {
    for (let tries = 1; ; tries++) {
      try {
        return await once<T>(wanted);
      } catch (thrown) {
        wanted.signal?.throwIfAborted();
        if (!(thrown instanceof KubeError) || tries >= maxTries || !mayRepeat(wanted, thrown)) throw thrown;
        const askedMs = Math.min(thrown.retryAfterMs ?? 0, 10_000);
        const waitMs = Math.max(backoffMs(tries, { minMs: 200, maxMs: 5000 }), askedMs);
        await pause(waitMs, wanted.signal ?? new AbortController().signal, options.clock);
        wanted.signal?.throwIfAborted();
      }
    }
  };

  return { request, stream, [Symbol.dispose]: () => connection.agent.destroy() };
}

/** A 429 was not worked on: whatever it was, it may be sent again. */
function mayRepeat(request: Request, error: KubeError): boolean {
  if (error.status === 429) return true;
  const idempotent = request.idempotent ?? (request.method !== "POST" && request.method !== "PATCH");
  return idempotent && (error.status === 0 || error.status >= 500);
}

interface Connection {
  readonly base: URL;
  readonly agent: HttpAgent;
  readonly open: typeof httpRequest;
}

function connect(credentials: Credentials): Connection {
  const base = new URL(credentials.server);
  const keep = { keepAlive: true, keepAliveMsecs: 15_000, maxFreeSockets: 8 };
  if (base.protocol !== "https:") return { base, agent: new HttpAgent(keep), open: httpRequest };
  const { ca, cert, key, servername, insecure } = credentials;
  const tls = { ca, cert, key, rejectUnauthorized: !insecure, ...(servername && { servername }) };
  return { base, agent: new HttpsAgent({ ...keep, ...tls }), open: httpsRequest };
}

function send(
  { base, agent, open }: Connection,
  request: Request,
  headers: Record<string, string | number>,
): Promise<IncomingMessage> {
  const { method, path, body, signal } = request;
  const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  if (payload) {
    headers["content-type"] = request.contentType ?? "application/json";
    headers["content-length"] = payload.length;
  }
  const url = new URL(base);
  url.pathname = base.pathname.replace(/\/$/, "") + path;
  for (const [key, value] of Object.entries(request.query ?? {})) {
    if (value !== undefined) url.searchParams.set(key, String(value));
  }
  return new Promise((resolve, reject) => {
    const outgoing = open(url, { method, headers, agent, ...(signal && { signal }) });
    outgoing.on("error", (cause) => reject(signal?.aborted ? signal.reason : unreachable(request, cause)));
    outgoing.setTimeout(answerTimeoutMs, () =>
      outgoing.destroy(new Error(`no answer in ${answerTimeoutMs / 1000} s`)),
    );
    outgoing.once("response", (answer) => {
      outgoing.setTimeout(0);
      resolve(answer);
    });
    outgoing.end(payload);
  });
}

function describe(request: Request): string {
  return `${request.method} ${request.path}`;
}

function unreachable(request: Request, cause: unknown): KubeError {
  if (cause instanceof KubeError) return cause;
  return new KubeError(`${describe(request)} got no complete answer`, {
    status: 0,
    reason: "Unreachable",
    cause,
  });
}

async function readText(request: Request, answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  answer.setTimeout(answerTimeoutMs, () => answer.destroy(new Error("the answer stopped in the middle")));
  try {
    for await (const chunk of answer) {
      size += (chunk as Buffer).length;
      if (size > maxAnswerBytes) throw new Error(`the answer is longer than ${maxAnswerBytes} bytes`);
      chunks.push(chunk as Buffer);
    }
  } catch (cause) {
    if (request.signal?.aborted) throw request.signal.reason;
    throw unreachable(request, cause);
  }
  return Buffer.concat(chunks).toString("utf8");
}
