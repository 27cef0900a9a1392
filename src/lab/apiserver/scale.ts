// SPDX-License-Identifier: Apache-2.0
import { badRequest } from "./errors.ts";
import {
  clone,
  ensureObject,
  isObject,
  type JsonObject,
  type KubeObject,
  numberAt,
  objectAt,
  valueAt,
} from "./object.ts";
import type { Resource, ScalePaths } from "./resource.ts";
import { selectorText } from "./selectors.ts";

/** The scale subresource of an object: `autoscaling/v1 Scale`. */
export function scaleOf(paths: ScalePaths, object: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const selector = valueAt(object, ...paths.selector.split("."));
  const text = isObject(selector) ? selectorText(selector) : typeof selector === "string" ? selector : "";
  const status: JsonObject = { replicas: numberAt(object, ...paths.statusReplicas.split(".")) };
  if (text) status["selector"] = text;
  const meta: JsonObject = { name, namespace, uid, resourceVersion, creationTimestamp };
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: meta as KubeObject["metadata"],
    spec: { replicas: numberAt(object, ...paths.replicas.split(".")) },
    status,
  };
}

/** The object with the number of replicas a Scale asks for. @throws ApiError 400. */
export function withScale(resource: Resource, object: KubeObject, scale: JsonObject): KubeObject {
  const replicas = objectAt(scale, "spec")["replicas"] ?? 0;
  if (typeof replicas !== "number" || !Number.isInteger(replicas) || replicas < 0) {
    throw badRequest(
      `Scale.autoscaling "${object.metadata.name}" is invalid: spec.replicas: Invalid value: ${JSON.stringify(replicas)}: must be greater than or equal to 0`,
    );
  }
  const draft = clone(object);
  const path = resource.scale!.replicas.split(".");
  const last = path.pop()!;
  const parent = path.reduce<JsonObject>((at, name) => ensureObject(at, name), draft);
  parent[last] = replicas;
  const version = objectAt(scale, "metadata")["resourceVersion"];
  if (typeof version === "string") draft.metadata.resourceVersion = version;
  else delete draft.metadata.resourceVersion;
  return draft;
}
