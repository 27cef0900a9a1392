// SPDX-License-Identifier: Apache-2.0
import { parseBody, readBody } from "./body.ts";
import { badRequest } from "./errors.ts";
import { type Exchange, sendJson, sendObject, target } from "./exchange.ts";
import { selectionOf } from "./list.ts";
import { negotiate } from "./negotiate.ts";
import { isObject, type JsonObject, objectAt, stringAt } from "./object.ts";
import { type DeleteOptions, type Removal, removeObject } from "./remove.ts";

/** DeleteOptions of a body, completed from the query. @throws ApiError 400. */
export function deleteOptions({ query }: Exchange, body: JsonObject): DeleteOptions {
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

/** DELETE of one object. */
export async function remove(exchange: Exchange): Promise<void> {
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

/** DELETE of all objects a selector finds. */
export async function removeCollection(exchange: Exchange): Promise<void> {
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
