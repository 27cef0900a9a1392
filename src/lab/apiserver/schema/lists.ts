// SPDX-License-Identifier: Apache-2.0
import type { Schema } from "./schema.ts";

type ListRule = Pick<Schema, "listType" | "listKeys" | "mergeKey" | "retainKeys">;

const byKey = (mergeKey: string, ...more: string[]): ListRule => ({
  listType: "map",
  listKeys: [mergeKey, ...more],
  mergeKey,
});
const set: ListRule = { listType: "set", mergeKey: "" };
const conditions: Readonly<Record<string, ListRule>> = { conditions: byKey("type") };

const podSpec = {
  containers: byKey("name"),
  initContainers: byKey("name"),
  ephemeralContainers: byKey("name"),
  volumes: { ...byKey("name"), retainKeys: true },
  imagePullSecrets: byKey("name"),
  hostAliases: byKey("ip"),
  topologySpreadConstraints: byKey("topologyKey", "whenUnsatisfiable"),
  schedulingGates: byKey("name"),
  resourceClaims: { ...byKey("name"), retainKeys: true },
};

const container = {
  ports: byKey("containerPort", "protocol"),
  env: byKey("name"),
  volumeMounts: byKey("mountPath"),
  volumeDevices: byKey("devicePath"),
};

/**
 * How the lists of the built-in types merge: type → field → rule. A list that is not here is atomic.
 * Source: patchMergeKey and listType markers of the Kubernetes API types.
 */
export const listRules: Readonly<Record<string, Readonly<Record<string, ListRule>>>> = {
  V1ObjectMeta: { finalizers: set, ownerReferences: byKey("uid") },
  V1PodSpec: podSpec,
  V1Container: container,
  V1EphemeralContainer: container,
  V1ResourceRequirements: { claims: { listType: "map", listKeys: ["name"] } },
  V1PodStatus: {
    ...conditions,
    podIPs: byKey("ip"),
    hostIPs: { listType: "atomic", mergeKey: "ip" },
    resourceClaimStatuses: { ...byKey("name"), retainKeys: true },
  },
  V1ServiceSpec: { ports: byKey("port", "protocol") },
  V1ServiceStatus: conditions,
  V1ServiceAccount: { secrets: byKey("name"), imagePullSecrets: { listType: "atomic" } },
  V1NodeSpec: { podCIDRs: set },
  V1NodeStatus: { ...conditions, addresses: byKey("type") },
  V1NamespaceStatus: conditions,
  V1NetworkPolicyStatus: conditions,
  V1DeploymentStatus: conditions,
  V1ReplicaSetStatus: conditions,
  V1DaemonSetStatus: conditions,
  V1StatefulSetStatus: conditions,
  V1ReplicationControllerStatus: conditions,
  V1JobStatus: { conditions: { listType: "atomic", mergeKey: "type" } },
  V1PersistentVolumeClaimStatus: conditions,
  V1PodDisruptionBudgetStatus: conditions,
  V1CustomResourceDefinitionStatus: conditions,
  V1ProjectedVolumeSource: { sources: { listType: "atomic" } },
};
