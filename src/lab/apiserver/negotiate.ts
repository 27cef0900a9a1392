// SPDX-License-Identifier: Apache-2.0
import { ApiError } from "./errors.ts";
import type { JsonObject, KubeObject } from "./object.ts";
import { inVersion, type Resource } from "./resource.ts";
import { type Inclusion, partialMetadata, plainTable, table, tableRow } from "./tables/table.ts";

/** How objects are written to a client: as they are, as rows of a Table, or their metadata only. */
export interface Form {
  readonly as: "Object" | "Table" | "PartialObjectMetadata";
  /** API version of the Table or partial object. */
  readonly version: string;
  readonly include: Inclusion;
}

/**
 * The first form of an Accept header that can be served. Protobuf is passed over: a client that offers JSON beside it gets JSON.
 * @throws ApiError 406 when there is none.
 */
export function negotiate(accept: string | undefined, query: URLSearchParams): Form {
  const include = (query.get("includeObject") ?? "Metadata") as Inclusion;
  for (const offer of (accept ?? "*/*").split(",")) {
    const [type, ...parameters] = offer.split(";").map((part) => part.trim());
    if (type !== "application/json" && type !== "*/*" && type !== "application/*" && type !== "text/plain")
      continue;
    const values = Object.fromEntries(
      parameters.map((parameter) => parameter.split("=", 2) as [string, string]),
    );
    const as = values["as"];
    if (as === undefined) return { as: "Object", version: "v1", include };
    const base = as.replace(/List$/, "");
    if (values["g"] !== "meta.k8s.io" || (base !== "Table" && base !== "PartialObjectMetadata")) continue;
    if (values["v"] === "v1" || values["v"] === "v1beta1") return { as: base, version: values["v"], include };
  }
  throw new ApiError(
    406,
    "NotAcceptable",
    "only the following media types are accepted: application/json, application/json;as=Table;v=v1;g=meta.k8s.io, application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
  );
}

/** One object in the client's form. */
export function formObject(form: Form, resource: Resource, object: KubeObject): JsonObject {
  if (form.as === "Object") return inVersion(resource, object);
  if (form.as === "PartialObjectMetadata") return partialMetadata(object);
  const layout = resource.table ?? plainTable;
  return table(
    layout,
    [tableRow(layout, object, form.include)],
    listMeta(object.metadata.resourceVersion),
    form.version,
  );
}

/** A list's own metadata. */
export function listMeta(resourceVersion: string | undefined): JsonObject {
  return { resourceVersion: resourceVersion ?? "" };
}
