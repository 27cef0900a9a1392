// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";
import { ApiError } from "./apiserver/errors.ts";
import type { KubeObject as StoredObject } from "./apiserver/object.ts";
import { removeObject } from "./apiserver/remove.ts";
import type { Catalog, Resource } from "./apiserver/resource.ts";
import { type Store, objectKey as storeKey } from "./apiserver/store.ts";
import { createObject, getObject, type Target, updateObject } from "./apiserver/write.ts";
import type { Cache, Cluster, Kind } from "./cluster.ts";
import type { Condition, KubeObject, Pod } from "./objects.ts";

/** The controllers' cluster right on the API server's store: what is written is visible at once, and nothing is serialised. */
export function storeCluster({
  store,
  catalog,
}: {
  readonly store: Store;
  readonly catalog: Catalog;
}): Cluster {
  const resourceOf = (kind: Kind<KubeObject>): Resource => {
    const resource = catalog.findKind(kind.apiVersion, kind.kind);
    if (!resource)
      throw new WeftError("E_API", `the API server does not serve ${kind.apiVersion} ${kind.kind}`);
    return resource;
  };
  const target = (kind: Kind<KubeObject>, object: KubeObject): Target => ({
    resource: resourceOf(kind),
    namespace: kind.namespaced ? (object.metadata.namespace ?? "default") : undefined,
    name: object.metadata.name,
  });
  const update = <T extends KubeObject>(kind: Kind<T>, object: T, subresource?: "status"): T =>
    translated(() =>
      fromStore<T>(
        updateObject(store, target(kind, object), toStore(object), { manager: MANAGER, subresource }),
      ),
    );
  return {
    cache: (kind) => createCache(store, resourceOf(kind).storage),
    create: async (kind, object) =>
      translated(() =>
        fromStore(createObject(store, target(kind, object), toStore(object), { manager: MANAGER })),
      ),
    update: async (kind, object) => update(kind, object),
    updateStatus: async (kind, object) => update(kind, object, "status"),
    remove: async (kind, object, options = {}) => {
      const uid = object.metadata.uid;
      const preconditions = uid === undefined ? {} : { uid };
      try {
        removeObject(store, target(kind, object), {
          ...options,
          propagationPolicy: "Background",
          preconditions,
        });
      } catch (thrown) {
        if (!(thrown instanceof ApiError) || (thrown.httpCode !== 404 && thrown.httpCode !== 409))
          throw thrown;
      }
    },
    bind: async (pod, node) => {
      const at: Target = {
        resource: resourceOf(podKind),
        namespace: pod.metadata.namespace,
        name: pod.metadata.name,
      };
      translated(() => bind(store, at, node));
    },
  };
}

const MANAGER = "weft-lab";
const podKind: Kind<Pod> = { apiVersion: "v1", kind: "Pod", plural: "pods", namespaced: true };

function bind(store: Store, at: Target, node: string): void {
  const pod = fromStore<Pod>(getObject(store, at));
  const bound = { ...pod, spec: { ...pod.spec, nodeName: node } };
  const stored = fromStore<Pod>(updateObject(store, at, toStore(bound), { manager: "" }));
  const others = (stored.status?.conditions ?? []).filter((condition) => condition.type !== "PodScheduled");
  const scheduled: Condition = {
    type: "PodScheduled",
    status: "True",
    lastTransitionTime: new Date().toISOString(),
  };
  const status = { ...stored.status, conditions: [...others, scheduled] };
  updateObject(store, at, toStore<Pod>({ ...stored, status }), { manager: "", subresource: "status" });
}

/** A conflict gets the code {@link Cluster} promises. */
function translated<T>(work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    if (thrown instanceof ApiError && thrown.httpCode === 409)
      throw new WeftError("E_CONFLICT", thrown.message, { cause: thrown });
    throw thrown;
  }
}

/** The store keeps any JSON object; which fields a kind has is known here. A draft is given away, hence the copy. */
function toStore<T extends KubeObject>(object: T): StoredObject {
  return structuredClone(object) as unknown as StoredObject;
}

function fromStore<T extends KubeObject>(object: StoredObject): T {
  return object as unknown as T;
}

function createCache<T extends KubeObject>(store: Store, storage: string): Cache<T> {
  return {
    get: (key) => {
      const slash = key.indexOf("/");
      const [namespace, name] = slash < 0 ? ["", key] : [key.slice(0, slash), key.slice(slash + 1)];
      const found = store.get(storage, storeKey(namespace, name));
      return found && fromStore<T>(found);
    },
    all: () => store.list(storage).map((object) => fromStore<T>(object)),
    onChange: (listener) =>
      store.listen(storage, (event) => {
        const before = event.previous && fromStore<T>(event.previous);
        listener({
          type: event.type === "DELETED" ? "delete" : "put",
          object: fromStore<T>(event.object),
          before,
        });
      }),
  };
}
