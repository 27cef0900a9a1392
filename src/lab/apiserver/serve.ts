// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Caller } from "./auth.ts";
import { type Body, decodeObject, type FieldValidation, parseBody, readBody } from "./body.ts";
import { badRequest, conflict, methodNotAllowed, unknownPath } from "./errors.ts";
import type { KubeletClient } from "./kubelet.ts";
import { type Lister, selectionOf } from "./list.ts";
import { serveLogs } from "./logs.ts";
import { formObject, negotiate } from "./negotiate.ts";
import {
  isObject,
  type Json,
  type JsonObject,
  type KubeObject,
  listAt,
  now,
  objectAt,
  stringAt,
} from "./object.ts";
import { patchObject } from "./patch.ts";
import { jsonPatch } from "./patch-json.ts";
import { mergePatch } from "./patch-merge.ts";
import type { ResourcePath } from "./path.ts";
import { podTarget } from "./pod-target.ts";
import { type DeleteOptions, type Removal, removeObject } from "./remove.ts";
import { scaleOf, withScale } from "./scale.ts";
import type { Store } from "./store.ts";
import { serveWatch } from "./watch.ts";
import { createObject, getObject, type Target, updateObject, type WriteOptions } from "./write.ts";

/** One request about a kind, with all that is known of it. */
export interface Exchange {
  readonly store: Store;
  readonly lister: Lister;
  readonly kubelet: KubeletClient | undefined;
  readonly path: ResourcePath;
  readonly query: URLSearchParams;
  readonly caller: Caller;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** Answers a request for objects of a kind. @throws ApiError, to be sent as a Status. */
export async function serveResource(exchange: Exchange): Promise<void> {
  const { path, query, request } = exchange;
  const { resource, namespace, name } = path;
  if (resource.namespaced && name !== undefined && namespace === undefined) throw unknownPath();
  if (path.subresource !== undefined) return serveSubresource(exchange);
  switch (request.method) {
    case "GET":
      if (path.watch || query.get("watch") === "true" || query.get("watch") === "1") return watch(exchange);
      return name === undefined
        ? list(exchange)
        : sendObject(exchange, 200, getObject(exchange.store, target(exchange)));
    case "POST":
      return name === undefined ? create(exchange) : refuse();
    case "PUT":
      return name === undefined ? refuse() : update(exchange, undefined);
    case "PATCH":
      return name === undefined ? refuse() : patch(exchange, undefined);
    case "DELETE":
      return name === undefined ? removeCollection(exchange) : remove(exchange);
    default:
      return refuse();
  }
}

function refuse(): never {
  throw methodNotAllowed();
}

export function target(exchange: Exchange): Target {
  const { resource, namespace, name } = exchange.path;
  return { resource, namespace, name: name ?? "" };
}

export function sendJson(response: ServerResponse, code: number, text: string): void {
  const body = Buffer.from(text);
  response.writeHead(code, {
    "content-type": "application/json",
    "content-length": body.length,
    "cache-control": "no-cache, private",
  });
  response.end(body);
}

function sendObject(exchange: Exchange, code: number, object: KubeObject): void {
  const form = negotiate(exchange.request.headers.accept, exchange.query);
  const shown =
    object.kind === exchange.path.resource.kind ? formObject(form, exchange.path.resource, object) : object;
  sendJson(exchange.response, code, JSON.stringify(shown));
}

function list({ lister, path, query, request, response }: Exchange): void {
  const form = negotiate(request.headers.accept, query);
  sendJson(response, 200, lister.list(selectionOf(path.resource, path.namespace, query), query, form));
}

function watch({ store, path, query, request, response }: Exchange): void {
  const form = negotiate(request.headers.accept, query);
  const selection = selectionOf(path.resource, path.namespace, query, path.name);
  serveWatch(store, { selection, query, form }, response);
}

function writeOptions({ query, request }: Exchange): WriteOptions {
  const dryRun = query.getAll("dryRun");
  if (dryRun.some((value) => value !== "All" && value !== ""))
    throw badRequest(`dryRun: Unsupported value: "${dryRun[0]}": supported values: "All"`);
  const agent = (request.headers["user-agent"] ?? "unknown").split("/")[0]!;
  return { dryRun: dryRun.includes("All"), manager: query.get("fieldManager") ?? agent };
}

function validation({ query, response }: Exchange): FieldValidation {
  const warn = (text: string) => response.appendHeader("warning", `299 - ${JSON.stringify(text)}`);
  return { mode: query.get("fieldValidation") || "Warn", warn };
}

async function create(exchange: Exchange): Promise<void> {
  const { path, store, caller, request } = exchange;
  const body = await readBody(request);
  const object = decodeObject(path.resource, parseBody(body), body, validation(exchange));
  if (path.resource.review)
    return sendJson(exchange.response, 201, JSON.stringify(path.resource.review(object, caller)));
  const namespace = path.namespace ?? (path.resource.namespaced ? object.metadata.namespace : undefined);
  if (path.resource.namespaced && !namespace)
    throw badRequest("an empty namespace may not be set during creation");
  sendObject(
    exchange,
    201,
    createObject(store, { resource: path.resource, namespace }, object, writeOptions(exchange)),
  );
}

async function update(exchange: Exchange, subresource: "status" | undefined): Promise<void> {
  const body = await readBody(exchange.request);
  const object = decodeObject(exchange.path.resource, parseBody(body), body, validation(exchange));
  sendObject(
    exchange,
    200,
    updateObject(exchange.store, target(exchange), object, { ...writeOptions(exchange), subresource }),
  );
}

async function patch(exchange: Exchange, subresource: "status" | undefined): Promise<void> {
  const body = await readBody(exchange.request);
  const force = exchange.query.get("force") === "true";
  const explicit = exchange.query.get("fieldManager");
  const applied = body.type.startsWith("application/apply-patch");
  const write = { ...writeOptions(exchange), subresource, ...(applied && !explicit ? { manager: "" } : {}) };
  const { object, created } = patchObject(exchange.store, target(exchange), body, {
    ...write,
    force,
    validation: validation(exchange),
  });
  sendObject(exchange, created ? 201 : 200, object);
}

async function serveSubresource(exchange: Exchange): Promise<void> {
  const { path, request } = exchange;
  const { resource, subresource } = path;
  const { method } = request;
  if (subresource === "status" && resource.status) {
    if (method === "GET") return sendObject(exchange, 200, getObject(exchange.store, target(exchange)));
    if (method === "PUT") return update(exchange, "status");
    if (method === "PATCH") return patch(exchange, "status");
    return refuse();
  }
  if (subresource === "scale" && resource.scale) return scale(exchange);
  if (subresource === "log" && resource.storage === "/pods" && method === "GET") {
    return serveLogs(
      podTarget(exchange, target(exchange), exchange.query.get("container")),
      exchange.query,
      exchange.response,
    );
  }
  if (subresource === "exec" && resource.storage === "/pods") throw badRequest("Upgrade request required");
  if (subresource === "binding" && resource.storage === "/pods" && method === "POST") return bind(exchange);
  if (subresource === "eviction" && resource.storage === "/pods" && method === "POST") return evict(exchange);
  if (subresource === "finalize" && resource.storage === "/namespaces" && method === "PUT")
    return update(exchange, undefined);
  throw unknownPath();
}

async function scale(exchange: Exchange): Promise<void> {
  const { path, store, request } = exchange;
  const paths = path.resource.scale!;
  const current = getObject(store, target(exchange));
  if (request.method === "GET") return sendObject(exchange, 200, scaleOf(paths, current));
  if (request.method !== "PUT" && request.method !== "PATCH") return refuse();
  const body = await readBody(request);
  const wanted = request.method === "PUT" ? parseBody(body) : patchedScale(scaleOf(paths, current), body);
  const draft = withScale(path.resource, getObject(store, target(exchange)), isObject(wanted) ? wanted : {});
  sendObject(
    exchange,
    200,
    scaleOf(paths, updateObject(store, target(exchange), draft, writeOptions(exchange))),
  );
}

function patchedScale(current: KubeObject, body: Body): Json {
  const patch = parseBody(body);
  const { resourceVersion: _any, ...metadata } = current.metadata;
  if (body.type === "application/json-patch+json") return jsonPatch(current, patch);
  return mergePatch({ ...current, metadata }, patch);
}

/** Gives a pod its node, as a scheduler does. */
async function bind(exchange: Exchange): Promise<void> {
  const binding = parseBody(await readBody(exchange.request));
  const pod = getObject(exchange.store, target(exchange));
  const node = stringAt(binding, "target", "name");
  const bound = stringAt(pod, "spec", "nodeName");
  if (bound)
    throw conflict(
      exchange.path.resource,
      pod.metadata.name,
      `pod ${pod.metadata.name} is already assigned to node "${bound}"`,
    );
  const scheduled = { type: "PodScheduled", status: "True", lastProbeTime: null, lastTransitionTime: now() };
  const conditions = listAt(pod, "status", "conditions").filter(
    (condition) => condition["type"] !== "PodScheduled",
  );
  const withNode: KubeObject = { ...pod, spec: { ...objectAt(pod, "spec"), nodeName: node } };
  updateObject(exchange.store, target(exchange), withNode, writeOptions(exchange));
  const status = { ...objectAt(pod, "status"), conditions: [...conditions, scheduled] };
  const current = getObject(exchange.store, target(exchange));
  updateObject(
    exchange.store,
    target(exchange),
    { ...current, status },
    { ...writeOptions(exchange), subresource: "status" },
  );
  sendJson(
    exchange.response,
    201,
    JSON.stringify({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 }),
  );
}

async function evict(exchange: Exchange): Promise<void> {
  const eviction = parseBody(await readBody(exchange.request));
  removeObject(
    exchange.store,
    target(exchange),
    deleteOptions(exchange, objectAt(eviction, "deleteOptions")),
  );
  sendJson(
    exchange.response,
    201,
    JSON.stringify({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 }),
  );
}

function deleteOptions({ query }: Exchange, body: JsonObject): DeleteOptions {
  const grace =
    body["gracePeriodSeconds"] ??
    (query.has("gracePeriodSeconds") ? Number(query.get("gracePeriodSeconds")) : undefined);
  if (grace !== undefined && (typeof grace !== "number" || !Number.isInteger(grace)))
    throw badRequest("gracePeriodSeconds must be an integer");
  const orphan = body["orphanDependents"] === true ? "Orphan" : undefined;
  const policy = stringAt(body, "propagationPolicy") || query.get("propagationPolicy") || orphan;
  const dryRun =
    (Array.isArray(body["dryRun"]) && body["dryRun"].includes("All")) ||
    query.getAll("dryRun").includes("All");
  return {
    gracePeriodSeconds: grace,
    propagationPolicy: policy,
    preconditions: objectAt(body, "preconditions"),
    dryRun,
  };
}

async function readDeleteOptions(exchange: Exchange): Promise<DeleteOptions> {
  const body = await readBody(exchange.request);
  const parsed = body.bytes.length === 0 ? {} : parseBody(body);
  return deleteOptions(exchange, isObject(parsed) ? parsed : {});
}

async function remove(exchange: Exchange): Promise<void> {
  const { store, response, path } = exchange;
  const removal: Removal = removeObject(store, target(exchange), await readDeleteOptions(exchange));
  if (!removal.gone || path.resource.storage === "/pods") return sendObject(exchange, 200, removal.object);
  const { name, uid } = removal.object.metadata;
  const details = {
    name,
    ...(path.resource.group ? { group: path.resource.group } : {}),
    kind: path.resource.plural,
    uid,
  };
  sendJson(
    response,
    200,
    JSON.stringify({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", details }),
  );
}

async function removeCollection(exchange: Exchange): Promise<void> {
  const { store, path, query, response, lister, request } = exchange;
  const options = await readDeleteOptions(exchange);
  const selection = selectionOf(path.resource, path.namespace, query);
  const text = lister.list(selection, new URLSearchParams(), negotiate(request.headers.accept, query));
  for (const object of store.list(path.resource.storage, path.namespace).filter(selection.matches)) {
    const { name, namespace } = object.metadata;
    removeObject(store, { resource: path.resource, namespace, name }, options);
  }
  sendJson(response, 200, text);
}
