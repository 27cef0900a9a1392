// SPDX-License-Identifier: Apache-2.0
import type {
  ConfigMap,
  DaemonSet,
  Deployment,
  EndpointSlice,
  Job,
  KubeObject,
  NodeObject,
  Pod,
  ReplicaSet,
  Secret,
  Service,
  StatefulSet,
} from "./objects.ts";

/** A kind the lab's controllers and kubelets deal with; the type parameter is its object's shape. */
export interface Kind<T extends KubeObject> {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  /** Carries the shape for the type checker; never set. */
  readonly shape?: T;
}

function kind<T extends KubeObject>(
  apiVersion: string,
  name: string,
  plural: string,
  namespaced = true,
): Kind<T> {
  return { apiVersion, kind: name, plural, namespaced };
}

export const kinds = {
  pod: kind<Pod>("v1", "Pod", "pods"),
  node: kind<NodeObject>("v1", "Node", "nodes", false),
  namespace: kind<KubeObject & { spec?: { finalizers?: string[] }; status?: { phase?: string } }>(
    "v1",
    "Namespace",
    "namespaces",
    false,
  ),
  service: kind<Service>("v1", "Service", "services"),
  endpoints: kind<KubeObject & { subsets?: unknown[] }>("v1", "Endpoints", "endpoints"),
  configMap: kind<ConfigMap>("v1", "ConfigMap", "configmaps"),
  secret: kind<Secret>("v1", "Secret", "secrets"),
  serviceAccount: kind<KubeObject>("v1", "ServiceAccount", "serviceaccounts"),
  deployment: kind<Deployment>("apps/v1", "Deployment", "deployments"),
  replicaSet: kind<ReplicaSet>("apps/v1", "ReplicaSet", "replicasets"),
  statefulSet: kind<StatefulSet>("apps/v1", "StatefulSet", "statefulsets"),
  daemonSet: kind<DaemonSet>("apps/v1", "DaemonSet", "daemonsets"),
  job: kind<Job>("batch/v1", "Job", "jobs"),
  endpointSlice: kind<EndpointSlice>("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
} as const;

export interface CacheChange<T> {
  readonly type: "put" | "delete";
  readonly object: T;
  readonly before: T | undefined;
}

/** All objects of one kind, kept current. Objects are shared: never change one in place. */
export interface Cache<T extends KubeObject> {
  /** By `namespace/name`, or the name of what has no namespace. */
  get(key: string): T | undefined;
  all(): Iterable<T>;
  onChange(listener: (change: CacheChange<T>) => void): () => void;
}

/**
 * The API as the lab's controllers see it. What a write did is in the cache when its promise resolves, so a controller
 * never acts on what it has just changed itself.
 */
export interface Cluster {
  cache<T extends KubeObject>(kind: Kind<T>): Cache<T>;
  create<T extends KubeObject>(kind: Kind<T>, object: T): Promise<T>;
  /** @throws with code E_CONFLICT when the object changed since it was read */
  update<T extends KubeObject>(kind: Kind<T>, object: T): Promise<T>;
  updateStatus<T extends KubeObject>(kind: Kind<T>, object: T): Promise<T>;
  /** Gone already is no error. */
  remove<T extends KubeObject>(
    kind: Kind<T>,
    object: T,
    options?: { gracePeriodSeconds?: number },
  ): Promise<void>;
  bind(pod: Pod, node: string): Promise<void>;
}
