// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from "node:util";
import type { KubeClient } from "#k8s/client.ts";
import { isNotFound, KubeError } from "#k8s/errors.ts";
import { type KubeObject, resourceName, resourcePath } from "#k8s/resource.ts";
import { WeftError } from "#lib/errors.ts";
import type { Manifest } from "./chart.ts";
import { getOptional } from "./cluster.ts";
import type { InventoryObject } from "./inventory.ts";
import { resourceOfKind } from "./kinds.ts";

/** Field manager of everything the command applies. */
export const fieldManager = "weft";

export type Action = "created" | "configured" | "unchanged" | "deleted" | "not found";

export interface Applied {
  /** `daemonsets.apps/weft`. */
  readonly what: string;
  readonly action: Action;
}

/** Server-side apply; fields somebody else changed are taken back. @throws WeftError E_APPLY naming the object */
export async function applyObject(
  client: KubeClient,
  object: Manifest,
  signal: AbortSignal,
): Promise<Applied> {
  const { namespace, name } = object.metadata;
  const resource = resourceOfKind(object.kind);
  const before = await getOptional<KubeObject>(client, resource, { namespace, name }, signal);
  const after = await send(client, object, { dryRun: false, signal });
  const action = before === undefined ? "created" : isSame(before, after) ? "unchanged" : "configured";
  return { what: `${resourceName(resource)}/${name}`, action };
}

/** Without what others write meanwhile: a controller's status says nothing about us. */
function isSame(before: KubeObject, after: KubeObject): boolean {
  const substance = ({ metadata, ...rest }: KubeObject) => ({
    ...rest,
    status: undefined,
    metadata: { labels: metadata?.labels, annotations: metadata?.annotations },
  });
  return isDeepStrictEqual(substance(before), substance(after));
}

/** Asks the server whether it would take the object; unknown fields are errors. Nothing is written. */
export async function checkObject(client: KubeClient, object: Manifest, signal: AbortSignal): Promise<void> {
  await send(client, object, { dryRun: true, signal });
}

async function send(
  client: KubeClient,
  object: Manifest,
  { dryRun, signal }: { readonly dryRun: boolean; readonly signal: AbortSignal },
): Promise<KubeObject> {
  const { namespace, name } = object.metadata;
  try {
    return await client.request<KubeObject>({
      method: "PATCH",
      path: resourcePath(resourceOfKind(object.kind), { namespace, name }),
      query: {
        fieldManager,
        force: true,
        fieldValidation: "Strict",
        dryRun: dryRun ? "All" : undefined,
      },
      body: object,
      contentType: "application/apply-patch+yaml",
      idempotent: true,
      signal,
    });
  } catch (thrown) {
    if (!(thrown instanceof KubeError) || thrown.status === 0) throw thrown;
    const hint =
      thrown.status === 403 ? { hint: "installing needs the rights of a cluster administrator" } : {};
    throw new WeftError("E_APPLY", `${object.kind} ${name}: ${thrown.message}`, { cause: thrown, ...hint });
  }
}

/** Deletes; what is not there is said so and is no error. */
export async function deleteObject(
  client: KubeClient,
  { kind, namespace, name }: InventoryObject,
  signal: AbortSignal,
): Promise<Applied> {
  const resource = resourceOfKind(kind);
  const what = `${resourceName(resource)}/${name}`;
  try {
    await client.delete(resource, { namespace, name }, { propagationPolicy: "Background", signal });
    return { what, action: "deleted" };
  } catch (thrown) {
    if (!isNotFound(thrown)) throw thrown;
    return { what, action: "not found" };
  }
}
