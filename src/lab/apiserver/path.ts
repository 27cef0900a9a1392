// SPDX-License-Identifier: Apache-2.0
import type { Catalog, Resource } from "./resource.ts";

/** A request's path, taken apart: `/apis/apps/v1/namespaces/shop/deployments/front/scale`. */
export interface ResourcePath {
  readonly resource: Resource;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
  /** The old form of a watch, `/api/v1/watch/…`. */
  readonly watch: boolean;
}

/** undefined when the path names no kind that is served. */
export function parsePath(catalog: Catalog, path: string): ResourcePath | undefined {
  const parts = path
    .split("/")
    .filter((part) => part !== "")
    .map(decodePart);
  const root = parts.shift();
  const group = root === "apis" ? parts.shift() : root === "api" ? "" : undefined;
  const version = parts.shift();
  if (group === undefined || version === undefined) return undefined;
  const watch = parts[0] === "watch" && parts.length > 1;
  if (watch) parts.shift();
  let namespace: string | undefined;
  // `/namespaces/x/pods` is inside a namespace, `/namespaces/x` and `/namespaces/x/status` are about it.
  if (parts[0] === "namespaces" && parts.length > 2 && catalog.find(group, version, parts[2]!)) {
    namespace = parts[1];
    parts.splice(0, 2);
  }
  const [plural, name, subresource, ...rest] = parts;
  const resource = plural === undefined ? undefined : catalog.find(group, version, plural);
  if (!resource || rest.length > 0 || (namespace !== undefined && !resource.namespaced)) return undefined;
  return { resource, namespace, name, subresource, watch };
}

function decodePart(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
