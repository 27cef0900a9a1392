// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage, ServerResponse } from "node:http";
import { errorText } from "#lib/errors.ts";
import { authenticate, isOpen, type User } from "./auth.ts";
import { aggregated, groupList, groupOf, resourceList, versionInfo } from "./discovery.ts";
import { ApiError, unknownPath } from "./errors.ts";
import { sendJson } from "./exchange.ts";
import type { KubeletClient } from "./kubelet.ts";
import type { Lister } from "./list.ts";
import type { JsonObject } from "./object.ts";
import { openapi2, openapi2Protobuf, openapiDocument, openapiRoot } from "./openapi.ts";
import { parsePath } from "./path.ts";
import type { Catalog } from "./resource.ts";
import { serveResource } from "./serve.ts";
import type { Store } from "./store.ts";
import { createUpgradeHandler, type UpgradeHandler } from "./upgrade.ts";

/** What the handlers of requests share. */
export interface ServerParts {
  readonly store: Store;
  readonly catalog: Catalog;
  readonly lister: Lister;
  readonly users: readonly User[];
  readonly kubelet: KubeletClient | undefined;
}

export interface Handler {
  readonly request: (request: IncomingMessage, response: ServerResponse) => void;
  readonly upgrade: UpgradeHandler;
}

export function createHandler(parts: ServerParts): Handler {
  return {
    request: (request, response) => {
      handle(parts, request, response).catch((thrown: unknown) => sendError(response, thrown));
    },
    upgrade: createUpgradeHandler(parts),
  };
}

function sendError(response: ServerResponse, thrown: unknown): void {
  const error =
    thrown instanceof ApiError
      ? thrown
      : new ApiError(500, "InternalError", `Internal error occurred: ${errorText(thrown)}`);
  if (response.headersSent) response.destroy();
  else sendJson(response, error.httpCode, JSON.stringify(error.status()));
}

async function handle(parts: ServerParts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "https://lab");
  const { pathname } = url;
  if (isOpen(pathname)) return serveOpen(pathname, response);
  const caller = authenticate(parts.users, request);
  const path = parsePath(parts.catalog, pathname);
  if (path) return serveResource({ ...parts, path, query: url.searchParams, caller, request, response });
  const document = discoveryDocument(parts.catalog, pathname, request.headers.accept ?? "");
  if (pathname === "/openapi/v2" && request.method === "GET")
    return sendOpenapi2(request.headers.accept ?? "", response);
  if (!document || request.method !== "GET") throw unknownPath();
  response.setHeader("vary", "Accept");
  if (document.type) response.setHeader("content-type", document.type);
  sendDocument(response, document);
}

interface Document {
  readonly body: JsonObject;
  readonly type?: string;
}

function sendDocument(response: ServerResponse, document: Document): void {
  const body = Buffer.from(JSON.stringify(document.body));
  response.writeHead(200, {
    "content-type": document.type ?? "application/json",
    "content-length": body.length,
  });
  response.end(body);
}

/** kubectl asks for this form when it finds a kind in no v3 document. */
function sendOpenapi2(accept: string, response: ServerResponse): void {
  const isProtobuf = accept.includes("spec.v2@v1.0+protobuf");
  const body = isProtobuf ? openapi2Protobuf() : Buffer.from(JSON.stringify(openapi2));
  const type = isProtobuf ? "application/com.github.proto-openapi.spec.v2.v1.0+protobuf" : "application/json";
  response.writeHead(200, { "content-type": type, "content-length": body.length });
  response.end(body);
}

function serveOpen(path: string, response: ServerResponse): void {
  if (path === "/version") {
    sendJson(response, 200, JSON.stringify(versionInfo));
    return;
  }
  response.writeHead(200, { "content-type": "text/plain; charset=utf-8" });
  response.end("ok");
}

function discoveryDocument(catalog: Catalog, path: string, accept: string): Document | undefined {
  const [root, group, version, ...rest] = path.split("/").filter((part) => part !== "");
  if (root === "openapi") return wrap(openapi(catalog, [group, version, ...rest]));
  if (rest.length > 0) return undefined;
  if (root === undefined)
    return {
      body: {
        paths: ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"],
      },
    };
  if ((root === "api" || root === "apis") && group === undefined) {
    const wanted = /g=apidiscovery\.k8s\.io;v=(v2beta1|v2);as=APIGroupDiscoveryList/.exec(accept)?.[1];
    if (wanted) {
      const type = `application/json;g=apidiscovery.k8s.io;v=${wanted};as=APIGroupDiscoveryList`;
      return { body: aggregated(catalog, root === "api", wanted), type };
    }
    if (root === "apis") return { body: groupList(catalog) };
    return { body: { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [] } };
  }
  if (root === "api" && group !== undefined && version === undefined)
    return wrap(resourceList(catalog, "", group));
  if (root !== "apis" || group === undefined) return undefined;
  return wrap(version === undefined ? groupOf(catalog, group) : resourceList(catalog, group, version));
}

/** `/openapi/v3`, `/openapi/v3/api/v1`, `/openapi/v3/apis/GROUP/VERSION`. */
function openapi(
  catalog: Catalog,
  [form, root, ...path]: readonly (string | undefined)[],
): JsonObject | undefined {
  if (form !== "v3") return undefined;
  if (root === undefined) return openapiRoot(catalog);
  const [group, version] = root === "api" ? ["", path[0]] : path;
  return openapiDocument(catalog, group ?? "", version ?? "");
}

function wrap(body: JsonObject | undefined): Document | undefined {
  return body && { body };
}
