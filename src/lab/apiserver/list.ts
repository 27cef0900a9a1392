// SPDX-License-Identifier: Apache-2.0
import { ApiError, badRequest, expired } from "./errors.ts";
import { type Form, listMeta } from "./negotiate.ts";
import { encode, encodeItem, type Json, type JsonObject, type KubeObject } from "./object.ts";
import { apiVersionOf, inVersion, type Resource } from "./resource.ts";
import { type Match, parseFieldSelector, parseLabelSelector } from "./selectors.ts";
import type { Store } from "./store.ts";
import { partialMetadata, plainTable, table, tableRow } from "./tables/table.ts";

/** Which objects of a kind a list, watch or deletecollection is about. */
export interface Selection {
  readonly resource: Resource;
  readonly namespace: string | undefined;
  readonly matches: Match;
  readonly selective: boolean;
}

export function selectionOf(
  resource: Resource,
  namespace: string | undefined,
  query: URLSearchParams,
  name?: string,
): Selection {
  const labelText = query.get("labelSelector") ?? "";
  const fieldText = query.get("fieldSelector") ?? "";
  const labels = parseLabelSelector(labelText);
  const fields = parseFieldSelector(fieldText, resource.fields ?? (resource.custom ? {} : undefined));
  const inNamespace = (object: KubeObject) =>
    namespace === undefined || object.metadata.namespace === namespace;
  const named = (object: KubeObject) => name === undefined || object.metadata.name === name;
  const matches = (object: KubeObject) =>
    inNamespace(object) && named(object) && labels(object.metadata.labels ?? {}) && fields(object);
  return { resource, namespace, matches, selective: labelText !== "" || fieldText !== "" };
}

interface Snapshot {
  readonly objects: readonly KubeObject[];
  readonly revision: number;
}

/** Lists being paged through: each page comes from the state of the first one. */
const snapshotLimit = 64;

/** Serves lists; holds the snapshots of those read in pages. One per server. */
export class Lister {
  readonly #snapshots = new Map<string, Snapshot>();
  #nextSnapshot = 1;

  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** The text of a list in the client's form. @throws ApiError 400, 410 (continue token too old), 504 (version not reached). */
  list(selection: Selection, query: URLSearchParams, form: Form): string {
    const page = this.#page(selection, query);
    const metadata: JsonObject = { ...listMeta(String(page.revision)) };
    if (page.next) {
      metadata["continue"] = page.next;
      if (!selection.selective) metadata["remainingItemCount"] = page.remaining;
    }
    return listText(selection.resource, page.objects, metadata, form);
  }

  #page(selection: Selection, query: URLSearchParams) {
    const limit = Math.max(0, Number(query.get("limit") ?? 0)) || Number.POSITIVE_INFINITY;
    const token = query.get("continue");
    const [id, offset] = token ? this.#parse(token) : [undefined, 0];
    const snapshot = id ? this.#snapshots.get(id) : this.#take(selection, query);
    if (!snapshot) {
      throw expired(
        "The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.",
      );
    }
    const { objects, revision } = snapshot;
    const remaining = Math.max(0, objects.length - offset - limit);
    const page = objects.slice(offset, offset + limit);
    if (remaining === 0) {
      if (id) this.#snapshots.delete(id);
      return { objects: page, revision, remaining, next: "" };
    }
    const kept = id ?? this.#keep(snapshot);
    return {
      objects: page,
      revision,
      remaining,
      next: Buffer.from(`${kept}/${offset + limit}`).toString("base64url"),
    };
  }

  #take(selection: Selection, query: URLSearchParams): Snapshot {
    const revision = this.#store.revision;
    const asked = Number(query.get("resourceVersion") || 0);
    if (!Number.isInteger(asked) || asked < 0)
      throw badRequest(`resourceVersion: Invalid value: "${query.get("resourceVersion")}"`);
    if (asked > revision) throw tooLarge(asked, revision);
    const { resource, namespace, matches } = selection;
    if (query.get("resourceVersionMatch") === "Exact") {
      return {
        objects: this.#store.listAt(resource.storage, asked, namespace).filter(matches),
        revision: asked,
      };
    }
    return { objects: this.#store.list(resource.storage, namespace).filter(matches), revision };
  }

  #keep(snapshot: Snapshot): string {
    if (this.#snapshots.size >= snapshotLimit) this.#snapshots.delete(this.#snapshots.keys().next().value!);
    const id = String(this.#nextSnapshot++);
    this.#snapshots.set(id, snapshot);
    return id;
  }

  #parse(token: string): [string, number] {
    const match = /^(\d+)\/(\d+)$/.exec(Buffer.from(token, "base64url").toString());
    if (!match) throw badRequest("continue key is not valid: invalid continue token");
    return [match[1]!, Number(match[2])];
  }
}

function tooLarge(asked: number, current: number): ApiError {
  return new ApiError(504, "Timeout", `Too large resource version: ${asked}, current: ${current}`, {
    causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
    retryAfterSeconds: 1,
  });
}

function listText(
  resource: Resource,
  objects: readonly KubeObject[],
  metadata: JsonObject,
  form: Form,
): string {
  if (form.as === "Table") {
    const layout = resource.table ?? plainTable;
    const rows: Json[] = objects.map((object) => tableRow(layout, object, form.include));
    return JSON.stringify(table(layout, rows, metadata, form.version));
  }
  const partial = form.as === "PartialObjectMetadata";
  const items = partial
    ? objects.map((object) => JSON.stringify(partialMetadata(object)))
    : objects.map((object) => {
        const shown = inVersion(resource, object);
        return resource.custom ? encode(shown) : encodeItem(shown);
      });
  const kind = partial ? "PartialObjectMetadataList" : `${resource.kind}List`;
  const apiVersion = partial ? "meta.k8s.io/v1" : apiVersionOf(resource);
  return `{"kind":${JSON.stringify(kind)},"apiVersion":${JSON.stringify(apiVersion)},"metadata":${JSON.stringify(metadata)},"items":[${items.join(",")}]}`;
}
