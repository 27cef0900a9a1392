// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Caller } from "./auth.ts";
import type { FieldValidation } from "./body.ts";
import { invalidOptions, methodNotAllowed, notSupported } from "./errors.ts";
import type { KubeletClient } from "./kubelet.ts";
import type { Lister } from "./list.ts";
import { formObject, negotiate } from "./negotiate.ts";
import type { KubeObject } from "./object.ts";
import type { ResourcePath } from "./path.ts";
import type { Store } from "./store.ts";
import type { Target, WriteOptions } from "./write.ts";

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

export function target(exchange: Exchange): Target {
  const { resource, namespace, name } = exchange.path;
  return { resource, namespace, name: name ?? "" };
}

/** Ends a request whose method its path does not take. */
export function refuse(): never {
  throw methodNotAllowed();
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

/** Sends an object in the form its client asks for. */
export function sendObject(exchange: Exchange, code: number, object: KubeObject): void {
  const form = negotiate(exchange.request.headers.accept, exchange.query);
  const shown =
    object.kind === exchange.path.resource.kind ? formObject(form, exchange.path.resource, object) : object;
  sendJson(exchange.response, code, JSON.stringify(shown));
}

function optionsKind(method: string | undefined): string {
  const kinds: Readonly<Record<string, string>> = {
    POST: "Create",
    PUT: "Update",
    PATCH: "Patch",
    DELETE: "Delete",
  };
  return `${kinds[method ?? ""] ?? "Create"}Options`;
}

/** What the query says of a write. @throws ApiError 422. */
export function writeOptions({ query, request }: Exchange): WriteOptions {
  const dryRun = query.getAll("dryRun");
  if (dryRun.some((value) => value !== "All" && value !== ""))
    throw invalidOptions(optionsKind(request.method), [notSupported("dryRun", dryRun, ["All"])]);
  const agent = (request.headers["user-agent"] ?? "unknown").split("/")[0]!;
  return { dryRun: dryRun.includes("All"), manager: query.get("fieldManager") ?? agent };
}

export function validation({ query, response }: Exchange): FieldValidation {
  const warn = (text: string) => response.appendHeader("warning", `299 - ${JSON.stringify(text)}`);
  return { mode: query.get("fieldValidation") || "Warn", warn };
}
