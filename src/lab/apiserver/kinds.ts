// SPDX-License-Identifier: Apache-2.0
import type { Behaviour, Resource, ScalePaths } from "./resource.ts";
import { builtinSchema } from "./schema/builtin.ts";
import { tableLayouts } from "./tables/layouts.ts";

interface Kind {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  /** Name in the type table. */
  readonly type: string;
  readonly cluster?: boolean;
  readonly status?: boolean;
  readonly short?: readonly string[];
  readonly all?: boolean;
  readonly scale?: boolean;
}

const core = { group: "", version: "v1" };
const apps = { group: "apps", version: "v1" };
const batch = { group: "batch", version: "v1" };
const networking = { group: "networking.k8s.io", version: "v1" };
const rbac = { group: "rbac.authorization.k8s.io", version: "v1" };
const authorization = { group: "authorization.k8s.io", version: "v1" };
const authentication = { group: "authentication.k8s.io", version: "v1" };

/** The built-in kinds, in discovery's order: `kubectl` prefers the first group that serves a name. */
const kinds: readonly Kind[] = [
  { ...core, plural: "bindings", kind: "Binding", type: "V1Binding" },
  { ...core, plural: "configmaps", kind: "ConfigMap", type: "V1ConfigMap", short: ["cm"] },
  { ...core, plural: "endpoints", kind: "Endpoints", type: "V1Endpoints", short: ["ep"] },
  { ...core, plural: "events", kind: "Event", type: "CoreV1Event", short: ["ev"] },
  { ...core, plural: "limitranges", kind: "LimitRange", type: "V1LimitRange", short: ["limits"] },
  {
    ...core,
    plural: "namespaces",
    kind: "Namespace",
    type: "V1Namespace",
    cluster: true,
    status: true,
    short: ["ns"],
  },
  { ...core, plural: "nodes", kind: "Node", type: "V1Node", cluster: true, status: true, short: ["no"] },
  {
    ...core,
    plural: "persistentvolumeclaims",
    kind: "PersistentVolumeClaim",
    type: "V1PersistentVolumeClaim",
    status: true,
    short: ["pvc"],
  },
  {
    ...core,
    plural: "persistentvolumes",
    kind: "PersistentVolume",
    type: "V1PersistentVolume",
    cluster: true,
    status: true,
    short: ["pv"],
  },
  { ...core, plural: "pods", kind: "Pod", type: "V1Pod", status: true, short: ["po"], all: true },
  { ...core, plural: "podtemplates", kind: "PodTemplate", type: "V1PodTemplate" },
  {
    ...core,
    plural: "replicationcontrollers",
    kind: "ReplicationController",
    type: "V1ReplicationController",
    status: true,
    short: ["rc"],
    all: true,
    scale: true,
  },
  {
    ...core,
    plural: "resourcequotas",
    kind: "ResourceQuota",
    type: "V1ResourceQuota",
    status: true,
    short: ["quota"],
  },
  { ...core, plural: "secrets", kind: "Secret", type: "V1Secret" },
  { ...core, plural: "serviceaccounts", kind: "ServiceAccount", type: "V1ServiceAccount", short: ["sa"] },
  {
    ...core,
    plural: "services",
    kind: "Service",
    type: "V1Service",
    status: true,
    short: ["svc"],
    all: true,
  },
  { ...apps, plural: "controllerrevisions", kind: "ControllerRevision", type: "V1ControllerRevision" },
  {
    ...apps,
    plural: "daemonsets",
    kind: "DaemonSet",
    type: "V1DaemonSet",
    status: true,
    short: ["ds"],
    all: true,
  },
  {
    ...apps,
    plural: "deployments",
    kind: "Deployment",
    type: "V1Deployment",
    status: true,
    short: ["deploy"],
    all: true,
    scale: true,
  },
  {
    ...apps,
    plural: "replicasets",
    kind: "ReplicaSet",
    type: "V1ReplicaSet",
    status: true,
    short: ["rs"],
    all: true,
    scale: true,
  },
  {
    ...apps,
    plural: "statefulsets",
    kind: "StatefulSet",
    type: "V1StatefulSet",
    status: true,
    short: ["sts"],
    all: true,
    scale: true,
  },
  {
    ...batch,
    plural: "cronjobs",
    kind: "CronJob",
    type: "V1CronJob",
    status: true,
    short: ["cj"],
    all: true,
  },
  { ...batch, plural: "jobs", kind: "Job", type: "V1Job", status: true, all: true },
  {
    group: "autoscaling",
    version: "v2",
    plural: "horizontalpodautoscalers",
    kind: "HorizontalPodAutoscaler",
    type: "V2HorizontalPodAutoscaler",
    status: true,
    short: ["hpa"],
    all: true,
  },
  { ...networking, plural: "ingressclasses", kind: "IngressClass", type: "V1IngressClass", cluster: true },
  { ...networking, plural: "ingresses", kind: "Ingress", type: "V1Ingress", status: true, short: ["ing"] },
  {
    ...networking,
    plural: "networkpolicies",
    kind: "NetworkPolicy",
    type: "V1NetworkPolicy",
    short: ["netpol"],
  },
  {
    group: "discovery.k8s.io",
    version: "v1",
    plural: "endpointslices",
    kind: "EndpointSlice",
    type: "V1EndpointSlice",
  },
  { group: "coordination.k8s.io", version: "v1", plural: "leases", kind: "Lease", type: "V1Lease" },
  {
    group: "events.k8s.io",
    version: "v1",
    plural: "events",
    kind: "Event",
    type: "EventsV1Event",
    short: ["ev"],
  },
  {
    group: "policy",
    version: "v1",
    plural: "poddisruptionbudgets",
    kind: "PodDisruptionBudget",
    type: "V1PodDisruptionBudget",
    status: true,
    short: ["pdb"],
  },
  {
    ...rbac,
    plural: "clusterrolebindings",
    kind: "ClusterRoleBinding",
    type: "V1ClusterRoleBinding",
    cluster: true,
  },
  { ...rbac, plural: "clusterroles", kind: "ClusterRole", type: "V1ClusterRole", cluster: true },
  { ...rbac, plural: "rolebindings", kind: "RoleBinding", type: "V1RoleBinding" },
  { ...rbac, plural: "roles", kind: "Role", type: "V1Role" },
  {
    group: "scheduling.k8s.io",
    version: "v1",
    plural: "priorityclasses",
    kind: "PriorityClass",
    type: "V1PriorityClass",
    cluster: true,
    short: ["pc"],
  },
  {
    group: "storage.k8s.io",
    version: "v1",
    plural: "storageclasses",
    kind: "StorageClass",
    type: "V1StorageClass",
    cluster: true,
    short: ["sc"],
  },
  {
    group: "apiextensions.k8s.io",
    version: "v1",
    plural: "customresourcedefinitions",
    kind: "CustomResourceDefinition",
    type: "V1CustomResourceDefinition",
    cluster: true,
    status: true,
    short: ["crd", "crds"],
  },
  {
    ...authentication,
    plural: "selfsubjectreviews",
    kind: "SelfSubjectReview",
    type: "V1SelfSubjectReview",
    cluster: true,
  },
  { ...authentication, plural: "tokenreviews", kind: "TokenReview", type: "V1TokenReview", cluster: true },
  {
    ...authorization,
    plural: "localsubjectaccessreviews",
    kind: "LocalSubjectAccessReview",
    type: "V1LocalSubjectAccessReview",
  },
  {
    ...authorization,
    plural: "selfsubjectaccessreviews",
    kind: "SelfSubjectAccessReview",
    type: "V1SelfSubjectAccessReview",
    cluster: true,
  },
  {
    ...authorization,
    plural: "selfsubjectrulesreviews",
    kind: "SelfSubjectRulesReview",
    type: "V1SelfSubjectRulesReview",
    cluster: true,
  },
  {
    ...authorization,
    plural: "subjectaccessreviews",
    kind: "SubjectAccessReview",
    type: "V1SubjectAccessReview",
    cluster: true,
  },
];

const workloadScale: ScalePaths = {
  replicas: "spec.replicas",
  statusReplicas: "status.replicas",
  selector: "spec.selector",
};

function tableOf(storage: string): Pick<Resource, "table"> {
  const table = tableLayouts[storage];
  return table ? { table } : {};
}

/** The built-in kinds with their behaviours, which are named by `group/plural`. */
export function builtinResources(
  behaviours: Readonly<Record<string, Behaviour & Pick<Resource, "review">>>,
): Resource[] {
  return kinds.map(({ group, version, plural, kind, type, cluster, status, short, all, scale }) => ({
    ...tableOf(`${group}/${plural}`),
    ...behaviours[`${group}/${plural}`],
    group,
    version,
    plural,
    kind,
    singular: kind.toLowerCase(),
    shortNames: short ?? [],
    categories: all ? ["all"] : [],
    namespaced: !cluster,
    schema: builtinSchema(type),
    status: status === true,
    ...(scale ? { scale: workloadScale } : {}),
    custom: false,
    storage: behaviours[`${group}/${plural}`]?.shownAs?.storage ?? `${group}/${plural}`,
  }));
}
