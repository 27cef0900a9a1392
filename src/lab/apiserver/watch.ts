// SPDX-License-Identifier: Apache-2.0
import type { ServerResponse } from "node:http";
import { ApiError, badRequest, invalidOptions } from "./errors.ts";
import type { Selection } from "./list.ts";
import { type Form, formObject, listMeta } from "./negotiate.ts";
import { encode, type JsonObject, type KubeObject } from "./object.ts";
import { apiVersionOf, inVersion } from "./resource.ts";
import type { Store, StoreEvent } from "./store.ts";
import { plainTable, table } from "./tables/table.ts";

/** A client that leaves this much unread is cut off; it comes back with a list. */
const unreadLimitBytes = 32 * 1024 * 1024;
const bookmarkIntervalMs = 30_000;
const longestWatchMs = 60 * 60_000;

export interface WatchRequest {
  readonly selection: Selection;
  readonly query: URLSearchParams;
  readonly form: Form;
}

/**
 * Streams the changes of a selection to a client until it goes, `timeoutSeconds` pass or the server closes.
 * A version that is too old is answered by an ERROR event with a 410 Status, as the real server does.
 */
export function serveWatch(store: Store, request: WatchRequest, response: ServerResponse): void {
  const { query, selection } = request;
  const timeoutMs = Math.min(
    Number(query.get("timeoutSeconds") ?? 0) * 1000 || longestWatchMs,
    longestWatchMs,
  );
  const bookmarks = query.get("allowWatchBookmarks") === "true";
  const initialEvents = initialEventsWanted(query);
  const writer = new WatchWriter(request, response);
  response.writeHead(200, { "content-type": "application/json", "cache-control": "no-cache, private" });
  response.flushHeaders();
  try {
    replay(store, request, { writer, initialEvents, bookmarks });
  } catch (thrown) {
    if (!(thrown instanceof ApiError)) throw thrown;
    writer.raw("ERROR", JSON.stringify(thrown.status()));
    response.end();
    return;
  }
  const stop = store.listen(selection.resource.storage, (event) => writer.event(event));
  const beat = bookmarks ? setInterval(() => writer.bookmark(store.revision), bookmarkIntervalMs) : undefined;
  const end = setTimeout(() => response.end(), timeoutMs);
  response.on("close", () => {
    stop();
    clearInterval(beat);
    clearTimeout(end);
  });
}

function initialEventsWanted(query: URLSearchParams): boolean {
  const asked = query.get("sendInitialEvents");
  const version = query.get("resourceVersion") ?? "";
  if (asked === null) return version === "" || version === "0";
  if (query.get("resourceVersionMatch") !== "NotOlderThan") {
    const detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
    throw invalidOptions("ListOptions", [{ type: "Forbidden", path: "resourceVersionMatch", detail }]);
  }
  return asked === "true";
}

interface Start {
  readonly writer: WatchWriter;
  readonly initialEvents: boolean;
  readonly bookmarks: boolean;
}

/** What the client has to hear before live events: the present state, or the events after its version. */
function replay(store: Store, request: WatchRequest, start: Start): void {
  const { selection, query } = request;
  const { writer } = start;
  if (start.initialEvents) {
    for (const object of store.list(selection.resource.storage, selection.namespace)) {
      if (selection.matches(object)) writer.object("ADDED", object);
    }
    if (query.get("sendInitialEvents") === "true" && start.bookmarks) writer.bookmark(store.revision, true);
    return;
  }
  const text = query.get("resourceVersion") ?? "";
  if (text === "" || text === "0") return;
  if (!/^\d+$/.test(text))
    throw badRequest(
      `resourceVersion: Invalid value: "${text}": strconv.ParseUint: parsing "${text}": invalid syntax`,
    );
  for (const event of store.eventsSince(selection.resource.storage, Number(text))) writer.event(event);
}

class WatchWriter {
  readonly #request: WatchRequest;
  readonly #response: ServerResponse;
  #sentColumns = false;

  constructor(request: WatchRequest, response: ServerResponse) {
    this.#request = request;
    this.#response = response;
  }

  /** An event as this watch sees it: an object that comes into the selection is added, one that leaves it deleted. */
  event(event: StoreEvent): void {
    const { matches } = this.#request.selection;
    const before = event.previous !== undefined && matches(event.previous);
    const after = event.type !== "DELETED" && matches(event.object);
    if (after) this.object(before ? "MODIFIED" : "ADDED", event.object);
    else if (before) this.object("DELETED", event.type === "DELETED" ? event.object : lastSeen(event));
  }

  object(type: string, object: KubeObject): void {
    const { form, selection } = this.#request;
    if (form.as === "Object") {
      this.raw(type, encode(inVersion(selection.resource, object)));
      return;
    }
    const shown = formObject(form, selection.resource, object);
    if (form.as === "Table") {
      // The heads are sent once: a client keeps those of the first event.
      if (this.#sentColumns) shown["columnDefinitions"] = null;
      this.#sentColumns = true;
    }
    this.raw(type, JSON.stringify(shown));
  }

  bookmark(revision: number, initialEventsEnd = false): void {
    const { form, selection } = this.#request;
    const resourceVersion = String(revision);
    const annotations = initialEventsEnd ? { annotations: { "k8s.io/initial-events-end": "true" } } : {};
    const { resource } = selection;
    const meta: JsonObject = { resourceVersion, creationTimestamp: null, ...annotations };
    const plain = { kind: resource.kind, apiVersion: apiVersionOf(resource), metadata: meta };
    if (form.as === "Table") {
      const row = { cells: [], object: plain };
      const rows = initialEventsEnd ? [row] : [];
      const shown = table(resource.table ?? plainTable, rows, { ...listMeta(resourceVersion) }, form.version);
      this.raw("BOOKMARK", JSON.stringify({ ...shown, columnDefinitions: null }));
      return;
    }
    const partial = { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: meta };
    this.raw("BOOKMARK", JSON.stringify(form.as === "Object" ? plain : partial));
  }

  raw(type: string, text: string): void {
    if (this.#response.writableEnded || this.#response.destroyed) return;
    this.#response.write(`{"type":"${type}","object":${text}}\n`);
    if (this.#response.writableLength > unreadLimitBytes) this.#response.destroy();
  }
}

/** A selection's last view of an object that left it, under the version of the change. */
function lastSeen(event: StoreEvent): KubeObject {
  const previous = event.previous!;
  return { ...previous, metadata: { ...previous.metadata, resourceVersion: String(event.revision) } };
}
