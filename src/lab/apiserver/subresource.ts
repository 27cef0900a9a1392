// SPDX-License-Identifier: Apache-2.0
import { type Body, parseBody, readBody } from "./body.ts";
import { badRequest, conflict, unknownPath } from "./errors.ts";
import { type Exchange, refuse, sendJson, sendObject, target, writeOptions } from "./exchange.ts";
import { serveLogs } from "./logs.ts";
import { isObject, type Json, type KubeObject, listAt, now, objectAt, stringAt } from "./object.ts";
import { jsonPatch } from "./patch-json.ts";
import { mergePatch } from "./patch-merge.ts";
import { podTarget } from "./pod-target.ts";
import { removeObject } from "./remove.ts";
import { scaleOf, withScale } from "./scale.ts";
import { deleteOptions } from "./serve-delete.ts";
import { getObject, updateObject } from "./write.ts";

/** Answers a request below an object, other than for its status. @throws ApiError. */
export async function serveSubresource(exchange: Exchange): Promise<void> {
  const { path, request } = exchange;
  const { resource, subresource } = path;
  const { method } = request;
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
