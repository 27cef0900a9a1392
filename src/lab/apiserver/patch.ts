// SPDX-License-Identifier: Apache-2.0
import { type Body, decodeObject, type FieldValidation, parseBody } from "./body.ts";
import { ApiError, badRequest, invalidOptions, notFound, required } from "./errors.ts";
import { applyConfig } from "./managed/apply.ts";
import { clone, isObject, type Json, type KubeObject, stringAt } from "./object.ts";
import { jsonPatch } from "./patch-json.ts";
import { mergePatch } from "./patch-merge.ts";
import { strategicPatch } from "./patch-strategic.ts";
import { apiVersionOf, inVersion } from "./resource.ts";
import type { Store } from "./store.ts";
import {
  createObject,
  findObject,
  getObject,
  type Target,
  updateObject,
  type WriteOptions,
} from "./write.ts";

export interface PatchOptions extends WriteOptions {
  readonly force: boolean;
  readonly validation: FieldValidation;
}

export interface Patched {
  readonly object: KubeObject;
  readonly created: boolean;
}

/** Changes an object by a patch of any of the four kinds; a server-side apply also creates. @throws ApiError. */
export function patchObject(store: Store, target: Target, body: Body, options: PatchOptions): Patched {
  if (body.type === "application/apply-patch+yaml" || body.type === "application/apply-patch+cbor") {
    return applyObject(store, target, body, options);
  }
  const old = inVersion(target.resource, getObject(store, target));
  const next = patchedBody(target, old, body);
  if (!isObject(next)) throw badRequest("the patched object is no JSON object");
  const draft = decodeObject(target.resource, next, undefined, options.validation);
  return { object: updateObject(store, target, draft, options), created: false };
}

function patchedBody(target: Target, old: KubeObject, body: Body): Json {
  const patch = parseBody(body);
  switch (body.type) {
    case "application/json-patch+json":
      return jsonPatch(old, patch);
    case "application/merge-patch+json":
      return mergePatch(old, patch);
    case "application/strategic-merge-patch+json":
      if (target.resource.custom) break;
      return strategicPatch(target.resource.schema, old, patch);
  }
  const accepted = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
  const message = `the body of the request was in an unknown format - accepted media types include: ${accepted}`;
  throw new ApiError(415, "UnsupportedMediaType", message);
}

function applyObject(store: Store, target: Target, body: Body, options: PatchOptions): Patched {
  const { resource, namespace, name } = target;
  if (!options.manager)
    throw invalidOptions("PatchOptions", [required("fieldManager", "is required for apply patch")]);
  const parsed = parseBody(body);
  if (!isObject(parsed)) throw badRequest("the apply configuration is no object");
  if (
    stringAt(parsed, "apiVersion") !== apiVersionOf(resource) ||
    stringAt(parsed, "kind") !== resource.kind
  ) {
    const apiVersion = stringAt(parsed, "apiVersion");
    const version = apiVersion.includes("/") ? apiVersion : `/${apiVersion}`;
    throw badRequest(`invalid object type: ${version}, Kind=${stringAt(parsed, "kind")}`);
  }
  const config = decodeObject(resource, parsed, body, options.validation);
  if (config.metadata.name && config.metadata.name !== name) {
    throw badRequest(
      `the name of the object (${config.metadata.name}) does not match the name on the URL (${name})`,
    );
  }
  if (config.metadata["managedFields"] !== undefined) throw badRequest("metadata.managedFields must be nil");
  config.metadata.name = name;
  const stored = findObject(store, target);
  const live = stored && inVersion(resource, stored);
  if (!live && (options.subresource || config.metadata.uid)) throw notFound(resource, name);
  const { manager, force, subresource } = options;
  const next = applyConfig(resource, live, clone(config), { manager, force, subresource });
  if (!live)
    return {
      object: createObject(store, { resource, namespace }, next, { ...options, applied: true }),
      created: true,
    };
  if (config.metadata.resourceVersion) next.metadata.resourceVersion = config.metadata.resourceVersion;
  return { object: updateObject(store, target, next, { ...options, applied: true }), created: false };
}
