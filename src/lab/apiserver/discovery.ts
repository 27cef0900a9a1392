// SPDX-License-Identifier: Apache-2.0
import type { JsonObject } from "./object.ts";
import { apiVersionOf, type Catalog, type Resource } from "./resource.ts";

const verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/** Kinds that are questions: they are created, answered and not kept. */
const reviewVerbs = ["create"];

/** The version the lab speaks: what kubectl's skew check and feature tests look at. */
export const versionInfo: JsonObject = {
  major: "1",
  minor: "33",
  emulationMajor: "1",
  emulationMinor: "33",
  gitVersion: "v1.33.0+weft-lab",
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "2026-01-01T00:00:00Z",
  goVersion: "",
  compiler: "",
  platform: "linux/amd64",
};

interface Subresource {
  readonly name: string;
  readonly kind: string;
  readonly group?: string;
  readonly version?: string;
  readonly verbs: readonly string[];
}

/** What can be asked below an object of a kind. */
function subresourcesOf(resource: Resource): Subresource[] {
  const out: Subresource[] = [];
  const readWrite = ["get", "patch", "update"];
  if (resource.status) out.push({ name: "status", kind: resource.kind, verbs: readWrite });
  if (resource.scale)
    out.push({ name: "scale", kind: "Scale", group: "autoscaling", version: "v1", verbs: readWrite });
  if (resource.storage === "/pods") {
    out.push({ name: "binding", kind: "Binding", verbs: ["create"] });
    out.push({ name: "eviction", kind: "Eviction", group: "policy", version: "v1", verbs: ["create"] });
    out.push({ name: "exec", kind: "PodExecOptions", verbs: ["create", "get"] });
    out.push({ name: "log", kind: "Pod", verbs: ["get"] });
  }
  if (resource.storage === "/namespaces")
    out.push({ name: "finalize", kind: "Namespace", verbs: ["update"] });
  return out;
}

function verbsOf(resource: Resource): readonly string[] {
  return resource.review ? reviewVerbs : verbs;
}

interface GroupVersions {
  readonly group: string;
  readonly versions: readonly string[];
}

function groupsOf(catalog: Catalog): GroupVersions[] {
  const groups = new Map<string, Set<string>>();
  for (const { group, version } of catalog.all()) {
    if (!groups.has(group)) groups.set(group, new Set());
    groups.get(group)!.add(version);
  }
  return [...groups].map(([group, versions]) => ({ group, versions: [...versions].sort(byVersionPriority) }));
}

/** v2 before v1, v1 before v1beta1, v1beta1 before v1alpha1. */
function byVersionPriority(a: string, b: string): number {
  const rank = (version: string): number[] => {
    const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
    if (!match) return [0, 0, 0];
    return [
      match[2] === undefined ? 3 : match[2] === "beta" ? 2 : 1,
      Number(match[1]),
      Number(match[3] ?? 0),
    ];
  };
  const left = rank(a);
  const right = rank(b);
  for (let i = 0; i < 3; i++) if (left[i] !== right[i]) return right[i]! - left[i]!;
  return a.localeCompare(b);
}

/** `/apis`: the groups. */
export function groupList(catalog: Catalog): JsonObject {
  const groups = groupsOf(catalog).filter(({ group }) => group !== "");
  return { kind: "APIGroupList", apiVersion: "v1", groups: groups.map(groupDocument) };
}

function groupDocument({ group, versions }: GroupVersions): JsonObject {
  const named = versions.map((version) => ({ groupVersion: `${group}/${version}`, version }));
  return { name: group, versions: named, preferredVersion: named[0]! };
}

/** `/apis/GROUP`; undefined when nothing of the group is served. */
export function groupOf(catalog: Catalog, group: string): JsonObject | undefined {
  const found = groupsOf(catalog).find((item) => item.group === group);
  return found ? { kind: "APIGroup", apiVersion: "v1", ...groupDocument(found) } : undefined;
}

/** `/api/v1`, `/apis/GROUP/VERSION`; undefined when nothing of it is served. */
export function resourceList(catalog: Catalog, group: string, version: string): JsonObject | undefined {
  const found = catalog.all().filter((resource) => resource.group === group && resource.version === version);
  if (found.length === 0) return undefined;
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion: apiVersionOf(found[0]!),
    resources: found.flatMap((resource) => [
      resourceEntry(resource),
      ...subresourcesOf(resource).map((sub) => subEntry(resource, sub)),
    ]),
  };
}

function resourceEntry(resource: Resource): JsonObject {
  const { plural, singular, namespaced, kind, shortNames, categories } = resource;
  return {
    name: plural,
    singularName: singular,
    namespaced,
    kind,
    verbs: [...verbsOf(resource)],
    ...(shortNames.length > 0 ? { shortNames: [...shortNames] } : {}),
    ...(categories.length > 0 ? { categories: [...categories] } : {}),
    storageVersionHash: Buffer.from(resource.storage).toString("base64").slice(0, 12),
  };
}

function subEntry(resource: Resource, sub: Subresource): JsonObject {
  return {
    name: `${resource.plural}/${sub.name}`,
    singularName: "",
    namespaced: resource.namespaced,
    ...(sub.group ? { group: sub.group, version: sub.version! } : {}),
    kind: sub.kind,
    verbs: [...sub.verbs],
  };
}

/** Aggregated discovery of `/api` (the core group) or `/apis` (all others) in one document. */
export function aggregated(catalog: Catalog, core: boolean, version: string): JsonObject {
  const groups = groupsOf(catalog).filter(({ group }) => (group === "") === core);
  return {
    kind: "APIGroupDiscoveryList",
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items: groups.map(({ group, versions }) => ({
      metadata: group === "" ? { creationTimestamp: null } : { name: group, creationTimestamp: null },
      versions: versions.map((item) => ({
        version: item,
        freshness: "Current",
        resources: aggregatedResources(catalog, group, item),
      })),
    })),
  };
}

function aggregatedResources(catalog: Catalog, group: string, version: string): JsonObject[] {
  const found = catalog.all().filter((resource) => resource.group === group && resource.version === version);
  return found.map((resource) => ({
    resource: resource.plural,
    responseKind: { group, version, kind: resource.kind },
    scope: resource.namespaced ? "Namespaced" : "Cluster",
    singularResource: resource.singular,
    verbs: [...verbsOf(resource)],
    ...(resource.shortNames.length > 0 ? { shortNames: [...resource.shortNames] } : {}),
    ...(resource.categories.length > 0 ? { categories: [...resource.categories] } : {}),
    subresources: subresourcesOf(resource).map((sub) => ({
      subresource: sub.name,
      responseKind: { group: sub.group ?? group, version: sub.version ?? version, kind: sub.kind },
      verbs: [...sub.verbs],
    })),
  }));
}
