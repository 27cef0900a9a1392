// SPDX-License-Identifier: Apache-2.0
import { decodeObject, parseBody, readBody } from "./body.ts";
import { badRequest, unknownPath } from "./errors.ts";
import { type Exchange, refuse, sendJson, sendObject, target, validation, writeOptions } from "./exchange.ts";
import { selectionOf } from "./list.ts";
import { negotiate } from "./negotiate.ts";
import { patchObject } from "./patch.ts";
import { remove, removeCollection } from "./serve-delete.ts";
import { serveSubresource } from "./subresource.ts";
import { serveWatch } from "./watch.ts";
import { createObject, getObject, updateObject } from "./write.ts";

/** Answers a request for objects of a kind. @throws ApiError, to be sent as a Status. */
export async function serveResource(exchange: Exchange): Promise<void> {
  const { path, query, request } = exchange;
  const { resource, namespace, name } = path;
  if (resource.namespaced && name !== undefined && namespace === undefined) throw unknownPath();
  if (path.subresource === "status" && resource.status) return serveStatus(exchange);
  if (path.subresource === "finalize" && resource.storage === "/namespaces")
    return update(exchange, undefined);
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

function serveStatus(exchange: Exchange): Promise<void> | void {
  switch (exchange.request.method) {
    case "GET":
      return sendObject(exchange, 200, getObject(exchange.store, target(exchange)));
    case "PUT":
      return update(exchange, "status");
    case "PATCH":
      return patch(exchange, "status");
    default:
      return refuse();
  }
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
