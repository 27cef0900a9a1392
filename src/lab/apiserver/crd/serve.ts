// SPDX-License-Identifier: Apache-2.0
import {
  isObject,
  type Json,
  type JsonObject,
  type KubeObject,
  listAt,
  numberAt,
  objectAt,
  stringAt,
  stringsAt,
} from "../object.ts";
import type { Behaviour, Catalog, Resource, ScalePaths } from "../resource.ts";
import { objectKey, type Store } from "../store.ts";
import { age, type Column, plainTable, type TableLayout } from "../tables/table.ts";
import { compilePath } from "./jsonpath.ts";
import { applyDefaults, compileRoot } from "./structural.ts";

const definitions = "apiextensions.k8s.io/customresourcedefinitions";

/**
 * Serves the kinds that CustomResourceDefinitions in the store define, from the write on that brings them; removes a kind's
 * objects with it. `checks` are further validations by `group/plural`.
 */
export function serveDefinitions(
  store: Store,
  catalog: Catalog,
  checks: Readonly<Record<string, Behaviour["validate"]>>,
): void {
  store.listen(definitions, (event) => {
    if (event.previous)
      for (const resource of resourcesOf(event.previous, checks))
        catalog.remove(resource.group, resource.version, resource.plural);
    if (event.type !== "DELETED") {
      for (const resource of resourcesOf(event.object, checks)) catalog.add(resource);
      return;
    }
    const storage = storageOf(event.object);
    for (const object of store.list(storage))
      store.remove(storage, objectKey(object.metadata.namespace, object.metadata.name));
  });
}

function storageOf(definition: KubeObject): string {
  return `${stringAt(definition, "spec", "group")}/${stringAt(definition, "spec", "names", "plural")}`;
}

function resourcesOf(
  definition: KubeObject,
  checks: Readonly<Record<string, Behaviour["validate"]>>,
): Resource[] {
  const spec = objectAt(definition, "spec");
  const names = objectAt(spec, "names");
  const storage = storageOf(definition);
  const check = checks[storage];
  return listAt(spec, "versions")
    .filter((version) => version["served"] === true)
    .map((version) => {
      const schema = compileRoot(objectAt(version, "schema", "openAPIV3Schema"));
      const scale = scalePaths(objectAt(version, "subresources"));
      return {
        group: stringAt(spec, "group"),
        version: stringAt(version, "name"),
        plural: stringAt(names, "plural"),
        kind: stringAt(names, "kind"),
        singular: stringAt(names, "singular"),
        shortNames: stringsAt(names, "shortNames"),
        categories: stringsAt(names, "categories"),
        namespaced: spec["scope"] === "Namespaced",
        schema,
        status: isObject(objectAt(version, "subresources")["status"]),
        ...(scale ? { scale } : {}),
        custom: true,
        storage,
        defaults: (draft: KubeObject) => applyDefaults(schema, draft),
        ...(check ? { validate: check } : {}),
        table: tableOf(listAt(version, "additionalPrinterColumns")),
      };
    });
}

function scalePaths(subresources: JsonObject): ScalePaths | undefined {
  const scale = subresources["scale"];
  if (!isObject(scale)) return undefined;
  const path = (name: string) => stringAt(scale, name).replace(/^\./, "");
  return {
    replicas: path("specReplicasPath"),
    statusReplicas: path("statusReplicasPath"),
    selector: path("labelSelectorPath"),
  };
}

function tableOf(printed: readonly JsonObject[]): TableLayout {
  if (printed.length === 0) return plainTable;
  const readers = printed.map((column) => ({
    type: stringAt(column, "type"),
    read: compilePath(stringAt(column, "jsonPath")),
  }));
  const heads = printed.map((column): Column => {
    const name = stringAt(column, "name");
    return {
      name,
      type: stringAt(column, "type") as Column["type"],
      format: stringAt(column, "format"),
      description:
        stringAt(column, "description") ||
        `Custom resource definition column (in JSONPath format): ${stringAt(column, "jsonPath")}`,
      priority: numberAt(column, "priority"),
    };
  });
  return {
    columns: [{ name: "Name", type: "string", format: "name" }, ...heads],
    cells: (object) => [object.metadata.name, ...readers.map(({ type, read }) => cell(type, read(object)))],
  };
}

function cell(type: string, found: readonly Json[]): Json {
  const [value] = found;
  if (value === undefined || value === null) return null;
  if (type === "date") return age(value);
  if (type === "integer" || type === "number" || type === "boolean")
    return typeof value === "object" ? null : value;
  if (found.length > 1) return found.map(String).join(",");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
