// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage } from "node:http";
import type { WebSocket } from "ws";
import { KubeError } from "#k8s/errors.ts";
import type { Credentials } from "#k8s/kubeconfig.ts";
import {
  type KubeList,
  type KubeObject,
  objectKey,
  type Resource,
  resourceName,
  resourcePath,
} from "#k8s/resource.ts";
import { createTransport, type Request } from "#k8s/transport.ts";
import { openWebSocket, type WebSocketRequest } from "#k8s/web-socket.ts";
import { type Clock, heldClock } from "#lib/clock.ts";

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
  /** Only when it is unchanged since. */
  readonly resourceVersion?: string;
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
  /** An open WebSocket to a streaming subresource; `exec.ts` and `port-forward.ts` speak over it. */
  webSocket(request: WebSocketRequest): Promise<WebSocket>;
}

const patchTypes: Readonly<Record<PatchType, string>> = {
  merge: "application/merge-patch+json",
  json: "application/json-patch+json",
  strategic: "application/strategic-merge-patch+json",
  apply: "application/apply-patch+yaml",
};

export function createKubeClient(
  credentials: Credentials,
  options: { readonly clock?: Clock; readonly userAgent?: string } = {},
): KubeClient {
  const { userAgent = "weft" } = options;
  // Between two tries nothing else may keep a command running.
  const transport = createTransport(credentials, { clock: options.clock ?? heldClock, userAgent });
  const { request, stream } = transport;
  return {
    server: credentials.server,
    namespace: credentials.namespace,
    request,
    stream,
    webSocket: (wanted) => openWebSocket(credentials, wanted, userAgent),
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
      const { signal } = deleteOptions;
      const body = deletionOf(deleteOptions);
      await request({ method: "DELETE", path: resourcePath(resource, ref), body, signal });
    },
    [Symbol.dispose]: () => transport[Symbol.dispose](),
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

/** The body of a DELETE. */
function deletionOf({ propagationPolicy, uid, resourceVersion }: DeleteOptions): object {
  return {
    kind: "DeleteOptions",
    apiVersion: "v1",
    propagationPolicy,
    ...((uid || resourceVersion) && {
      preconditions: { ...(uid && { uid }), ...(resourceVersion && { resourceVersion }) },
    }),
  };
}

function nameFor(object: KubeObject, options: WriteOptions): { name?: string; subresource?: string } {
  if (!options.subresource) return {};
  return { name: object.metadata?.name ?? objectKey(object), subresource: options.subresource };
}
