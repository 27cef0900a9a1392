// SPDX-License-Identifier: Apache-2.0
import { badRequest, forbidden, invalid, notFound } from "./errors.ts";
import { isObject, type KubeObject, type ObjectMeta, same } from "./object.ts";
import { apiVersionOf, type Resource } from "./resource.ts";
import { checkCustom } from "./schema/check.ts";
import { objectKey, type Store } from "./store.ts";
import { validateMeta } from "./validate/names.ts";

const namespaceSubject = { group: "", plural: "namespaces", kind: "Namespace" };

/** Kind, version and namespace of a body are those of its path. Returns its metadata. @throws ApiError 400. */
export function checkIdentity(
  target: { resource: Resource; namespace: string | undefined },
  body: KubeObject,
): ObjectMeta {
  const { resource, namespace } = target;
  const apiVersion = apiVersionOf(resource);
  if (body.apiVersion !== apiVersion) {
    throw badRequest(
      `the API version in the data (${body.apiVersion}) does not match the expected API version (${apiVersion})`,
    );
  }
  if (body.kind !== resource.kind)
    throw badRequest(
      `the kind in the data (${body.kind}) does not match the expected kind (${resource.kind})`,
    );
  if (!isObject(body.metadata)) body.metadata = { name: "" };
  const meta = body.metadata;
  if (namespace !== undefined && meta.namespace && meta.namespace !== namespace) {
    throw badRequest("the namespace of the provided object does not match the namespace sent on the request");
  }
  if (namespace === undefined) delete meta.namespace;
  else meta.namespace = namespace;
  return meta;
}

/** The namespace is there and takes new objects. @throws ApiError 404, 403. */
export function checkNamespace(
  store: Store,
  resource: Resource,
  namespace: string | undefined,
  name: string,
): void {
  if (namespace === undefined) return;
  const found = store.get("/namespaces", objectKey(undefined, namespace));
  if (!found) throw notFound(namespaceSubject, namespace);
  if (found.metadata.deletionTimestamp) {
    throw forbidden(
      resource,
      name,
      `unable to create new content in namespace ${namespace} because it is being terminated`,
    );
  }
}

/** Validation, and allocation of what must be unique. @throws ApiError 422. */
export function checkObject(resource: Resource, draft: KubeObject, old: KubeObject | undefined): void {
  const errors = validateMeta(draft.metadata, resource.nameRule ?? "subdomain");
  const late = old?.metadata.deletionTimestamp ? newFinalizers(old, draft) : [];
  if (late.length > 0) {
    const found = late.map((name) => JSON.stringify(name)).join(", ");
    const detail = `no new finalizers can be added if the object is being deleted, found new finalizers []string{${found}}`;
    errors.push({ type: "Forbidden", path: "metadata.finalizers", detail });
  }
  if (resource.custom) errors.push(...checkCustom(resource.schema, draft));
  if (!resource.custom || errors.length === 0) errors.push(...(resource.validate?.(draft, old) ?? []));
  if (errors.length === 0) errors.push(...(resource.allocate?.(draft, old) ?? []));
  if (errors.length > 0) throw invalid(resource, draft.metadata.name, errors);
}

function newFinalizers(old: KubeObject, draft: KubeObject): string[] {
  const before = old.metadata.finalizers ?? [];
  return (draft.metadata.finalizers ?? []).filter((name) => !before.includes(name));
}

/** Most core kinds, and those that say nothing of a wanted state, have no generation. */
export function hasGeneration(resource: Resource): boolean {
  return resource.group === ""
    ? resource.plural === "replicationcontrollers" || resource.plural === "pods"
    : !withoutGeneration.has(resource.group);
}

const withoutGeneration: ReadonlySet<string> = new Set([
  "rbac.authorization.k8s.io",
  "coordination.k8s.io",
  "events.k8s.io",
  "scheduling.k8s.io",
  "storage.k8s.io",
]);

/** Generation counts changes of what the user wants: all but metadata, and status where it is a subresource. */
export function isSpecChange(resource: Resource, old: KubeObject, draft: KubeObject): boolean {
  const ignored = resource.status ? { metadata: undefined, status: undefined } : { metadata: undefined };
  return !same({ ...old, ...ignored }, { ...draft, ...ignored });
}
