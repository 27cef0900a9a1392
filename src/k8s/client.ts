// SPDX-License-Identifier: Apache-2.0
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { errorOfAnswer, KubeError } from "#k8s/errors.ts";
import type { Credentials } from "#k8s/kubeconfig.ts";
import {
  type KubeList,
  type KubeObject,
  objectKey,
  type Resource,
  resourceName,
  resourcePath,
} from "#k8s/resource.ts";
import { backoffMs } from "#lib/backoff.ts";
import { type Clock, pause, systemClock } from "#lib/clock.ts";

export type PatchType = "merge" | "json" | "strategic" | "apply";

export interface ListOptions {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** Page size; default: everything in one page. */
  readonly limit?: number;
  readonly continueToken?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ObjectRef {
  readonly namespace?: string | undefined;
  readonly name: string;
}

export interface WriteOptions {
  /** `status`, `scale`… */
  readonly subresource?: string;
  /** Needed with patch type "apply". */
  readonly fieldManager?: string;
  /** With patch type "apply": takes fields over from other managers. */
  readonly force?: boolean;
  readonly signal?: AbortSignal | undefined;
}

export interface DeleteOptions {
  readonly propagationPolicy?: "Background" | "Foreground" | "Orphan";
  /** Only when the object is still this one. */
  readonly uid?: string;
  readonly signal?: AbortSignal | undefined;
}

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

/**
 * An API server. Every method throws {@link KubeError} (E_K8S) for what the server refuses and when it is not reached,
 * and the signal's reason when that aborts. Requests that can be repeated are, at most four times in all.
 */
export interface KubeClient extends Disposable {
  readonly server: string;
  /** Namespace of the kubeconfig's context. */
  readonly namespace: string;
  get<T extends KubeObject>(resource: Resource, ref: ObjectRef, signal?: AbortSignal): Promise<T>;
  /** One page. */
  list<T extends KubeObject>(resource: Resource, options?: ListOptions): Promise<KubeList<T>>;
  /** Namespace and name are the object's own. */
  create<T extends KubeObject>(resource: Resource, object: T, options?: WriteOptions): Promise<T>;
  replace<T extends KubeObject>(resource: Resource, object: T, options?: WriteOptions): Promise<T>;
  patch<T extends KubeObject>(
    resource: Resource,
    ref: ObjectRef,
    patch: { readonly type: PatchType; readonly body: unknown },
    options?: WriteOptions,
  ): Promise<T>;
  delete(resource: Resource, ref: ObjectRef, options?: DeleteOptions): Promise<void>;
  /** Any path; the answer parsed. */
  request<T>(request: Request): Promise<T>;
  /** An answer of status 200 as it comes; no retries, no limit in time. The caller reads or destroys it. */
  stream(request: Request): Promise<IncomingMessage>;
}

const patchTypes: Readonly<Record<PatchType, string>> = {
  merge: "application/merge-patch+json",
  json: "application/json-patch+json",
  strategic: "application/strategic-merge-patch+json",
  apply: "application/apply-patch+yaml",
};

const maxTries = 4;
const answerTimeoutMs = 30_000;
const maxAnswerBytes = 512 * 2 ** 20;

export function createKubeClient(
  credentials: Credentials,
  options: { readonly clock?: Clock; readonly userAgent?: string } = {},
): KubeClient {
  const { clock = systemClock, userAgent = "weft" } = options;
  const base = new URL(credentials.server);
  const secure = base.protocol === "https:";
  const common = { keepAlive: true, keepAliveMsecs: 15_000, maxFreeSockets: 8 };
  const agent = secure
    ? new HttpsAgent({
        ...common,
        ca: credentials.ca,
        cert: credentials.cert,
        key: credentials.key,
        servername: credentials.servername ?? "",
        rejectUnauthorized: !credentials.insecure,
      })
    : new HttpAgent(common);

  const send = async (request: Request): Promise<IncomingMessage> => {
    const { method, path, body, signal } = request;
    const token = await credentials.token();
    signal?.throwIfAborted();
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const headers: Record<string, string | number> = { accept: "application/json", "user-agent": userAgent };
    if (token) headers.authorization = `Bearer ${token}`;
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
      const fail = (cause: unknown) => reject(signal?.aborted ? signal.reason : unreachable(request, cause));
      const outgoing = (secure ? httpsRequest : httpRequest)(url, {
        method,
        headers,
        agent,
        ...(signal && { signal }),
      });
      outgoing.once("error", fail);
      outgoing.setTimeout(answerTimeoutMs, () =>
        outgoing.destroy(new Error(`no answer in ${answerTimeoutMs / 1000} s`)),
      );
      outgoing.once("response", (answer) => {
        outgoing.setTimeout(0);
        resolve(answer);
      });
      outgoing.end(payload);
    });
  };

  const stream = async (request: Request): Promise<IncomingMessage> => {
    const answer = await send(request);
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
    const idempotent = wanted.idempotent ?? (wanted.method !== "POST" && wanted.method !== "PATCH");
    for (let tries = 1; ; tries++) {
      try {
        return await once<T>(wanted);
      } catch (thrown) {
        wanted.signal?.throwIfAborted();
        if (!(thrown instanceof KubeError) || tries >= maxTries) throw thrown;
        // A 429 was not worked on: whatever it was, it may be sent again.
        const again = thrown.status === 429 || (idempotent && (thrown.status === 0 || thrown.status >= 500));
        if (!again) throw thrown;
        const waitMs = Math.max(
          backoffMs(tries, { minMs: 200, maxMs: 5000 }),
          Math.min(thrown.retryAfterMs ?? 0, 10_000),
        );
        await pause(waitMs, wanted.signal ?? new AbortController().signal, clock);
        wanted.signal?.throwIfAborted();
      }
    }
  };

  return {
    server: credentials.server,
    namespace: credentials.namespace,
    request,
    stream,
    get: (resource, ref, signal) => request({ method: "GET", path: resourcePath(resource, ref), signal }),
    async list<T extends KubeObject>(resource: Resource, listOptions: ListOptions = {}) {
      const { namespace, labelSelector, fieldSelector, limit, continueToken, signal } = listOptions;
      const answer = await request<RawList<T>>({
        method: "GET",
        path: resourcePath(resource, { namespace }),
        query: { labelSelector, fieldSelector, limit, continue: continueToken },
        signal,
      });
      return checkList(resource, answer);
    },
    create: (resource, object, writeOptions = {}) =>
      request({
        method: "POST",
        path: resourcePath(resource, {
          namespace: object.metadata?.namespace,
          ...nameFor(object, writeOptions),
        }),
        query: { fieldManager: writeOptions.fieldManager ?? userAgent },
        body: object,
        signal: writeOptions.signal,
      }),
    replace: (resource, object, writeOptions = {}) => {
      const { namespace, name } = object.metadata ?? {};
      if (!name)
        throw new KubeError(`replace ${resourceName(resource)}: the object has no name`, {
          status: 400,
          reason: "BadRequest",
        });
      return request({
        method: "PUT",
        path: resourcePath(resource, { namespace, name, subresource: writeOptions.subresource }),
        query: { fieldManager: writeOptions.fieldManager ?? userAgent },
        body: object,
        signal: writeOptions.signal,
      });
    },
    patch: (resource, ref, patch, writeOptions = {}) =>
      request({
        method: "PATCH",
        path: resourcePath(resource, { ...ref, subresource: writeOptions.subresource }),
        query: {
          fieldManager: writeOptions.fieldManager ?? userAgent,
          force: patch.type === "apply" ? writeOptions.force : undefined,
        },
        body: patch.body,
        contentType: patchTypes[patch.type],
        idempotent: patch.type === "apply" || patch.type === "merge",
        signal: writeOptions.signal,
      }),
    async delete(resource, ref, deleteOptions = {}) {
      const { propagationPolicy, uid, signal } = deleteOptions;
      const body = {
        kind: "DeleteOptions",
        apiVersion: "v1",
        propagationPolicy,
        ...(uid && { preconditions: { uid } }),
      };
      await request({ method: "DELETE", path: resourcePath(resource, ref), body, signal });
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}

interface RawList<T> {
  readonly kind?: string;
  readonly items?: readonly T[] | null;
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
}

/** Anything that is not plainly a list is an error: taken for an empty one it would empty tables. */
function checkList<T>(resource: Resource, answer: RawList<T>): KubeList<T> {
  const resourceVersion = answer.metadata?.resourceVersion;
  if (
    !answer.kind?.endsWith("List") ||
    !resourceVersion ||
    (answer.items !== null && !Array.isArray(answer.items))
  ) {
    throw new KubeError(`list ${resourceName(resource)}: the answer is not a list`, {
      status: 0,
      reason: "Unreachable",
    });
  }
  const continueToken = answer.metadata?.continue;
  return { items: answer.items ?? [], resourceVersion, ...(continueToken && { continueToken }) };
}

function nameFor(object: KubeObject, options: WriteOptions): { name?: string; subresource?: string } {
  if (!options.subresource) return {};
  return { name: object.metadata?.name ?? objectKey(object), subresource: options.subresource };
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
