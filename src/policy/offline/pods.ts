// SPDX-License-Identifier: Apache-2.0
import type { LabelFilter } from "#identities/label-filter.ts";
import { securityLabels } from "#identities/security-labels.ts";
import { type Address, isAddress, parseAddress } from "#model/ip.ts";
import type { Labels } from "#model/labels.ts";
import { protocolNumber } from "#model/port.ts";
import type { NamedPort } from "../rule.ts";
import type { PodObject, PodSpec, PodTemplate, SourcedObject, WorkloadObject } from "./objects.ts";

/** A pod as policies see it: one that runs, or the first one or two that a workload's template stands for. */
export interface OfflinePod {
  readonly namespace: string;
  readonly name: string;
  /** The Deployment behind a ReplicaSet, else the controller, else the pod itself. */
  readonly workload: string;
  readonly kind: string;
  /** Of the object, without source. */
  readonly own: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** What its identity is made of. */
  readonly labels: Labels;
  /** Declared by its containers; those with a name can be named by policies. */
  readonly ports: readonly DeclaredPort[];
  readonly hostNetwork: boolean;
  /** "": nobody knows. */
  readonly node: string;
  /** None where there is only a manifest. */
  readonly addresses: readonly Address[];
  /** How many pods there are of it: what a template stands for. */
  readonly replicas: number;
}

export interface DeclaredPort {
  readonly name: string;
  readonly port: number;
  readonly proto: number;
}

/** What the pods of a cluster have in common. */
export interface PodSettings {
  readonly clusterName: string;
  readonly keepsLabel: LabelFilter;
  namespaceLabels(namespace: string): Readonly<Record<string, string>>;
}

export function namedPorts(pod: Pick<OfflinePod, "ports">): NamedPort[] {
  return pod.ports.filter(({ name }) => name !== "");
}

/** Of objects that make pods by a template. */
export const workloadKinds: ReadonlySet<string> = new Set([
  "Deployment",
  "ReplicaSet",
  "StatefulSet",
  "DaemonSet",
  "Job",
  "CronJob",
  "ReplicationController",
]);

/** The pods of a cluster: those there are, and for each workload without any those its template stands for. */
export function podsOf(
  objects: readonly SourcedObject[],
  namespace: string,
  settings: PodSettings,
): OfflinePod[] {
  const pods: OfflinePod[] = [];
  for (const { object } of objects) {
    if (object.kind === "Pod" && object.apiVersion === "v1") {
      const pod = runningPod(object, namespace, settings);
      if (pod) pods.push(pod);
    }
  }
  const known = new Set(pods.map((pod) => `${pod.namespace}/${pod.workload}`));
  for (const { object } of objects) {
    if (!workloadKinds.has(object.kind)) continue;
    const workload = object as WorkloadObject;
    if (workload.metadata.ownerReferences?.some(({ controller }) => controller)) continue;
    if (known.has(`${workload.metadata.namespace ?? namespace}/${workload.metadata.name}`)) continue;
    pods.push(...templatePods(workload, namespace, settings));
  }
  return pods.sort((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1));
}

function runningPod(object: PodObject, namespace: string, settings: PodSettings): OfflinePod | undefined {
  const { status, metadata } = object;
  if (status?.phase === "Succeeded" || status?.phase === "Failed" || metadata.deletionTimestamp) return;
  const owner = metadata.ownerReferences?.find(({ controller }) => controller);
  const hash = metadata.labels?.["pod-template-hash"];
  const fromDeployment = owner?.kind === "ReplicaSet" && hash && owner.name.endsWith(`-${hash}`);
  const addresses = (status?.podIPs ?? []).map(({ ip }) => ip).filter(isAddress);
  return podFrom(
    {
      namespace: metadata.namespace ?? namespace,
      name: metadata.name,
      workload: fromDeployment ? owner.name.slice(0, -hash.length - 1) : (owner?.name ?? metadata.name),
      kind: fromDeployment ? "Deployment" : (owner?.kind ?? "Pod"),
      addresses: addresses.map(parseAddress),
      replicas: 1,
    },
    { metadata, ...(object.spec && { spec: object.spec }) },
    settings,
  );
}

/** All pods of a template are alike to policies; a second one shows how they stand to each other. */
function templatePods(
  workload: WorkloadObject,
  defaultNamespace: string,
  settings: PodSettings,
): OfflinePod[] {
  const { kind, metadata, spec } = workload;
  const template = kind === "CronJob" ? spec?.jobTemplate?.spec?.template : spec?.template;
  const replicas = spec?.replicas ?? spec?.parallelism ?? 1;
  if (!template || replicas < 1) return [];
  const { name } = metadata;
  const nameAt = (i: number) =>
    kind === "StatefulSet" ? `${name}-${i}` : i === 0 ? name : `${name}-${i + 1}`;
  return [0, 1].slice(0, Math.min(2, replicas)).map((i) =>
    podFrom(
      {
        namespace: metadata.namespace ?? defaultNamespace,
        name: nameAt(i),
        workload: name,
        kind,
        addresses: [],
        replicas: i === 0 && replicas > 1 ? replicas - 1 : 1,
      },
      template,
      settings,
    ),
  );
}

function podFrom(
  head: Pick<OfflinePod, "namespace" | "name" | "workload" | "kind" | "addresses" | "replicas">,
  { metadata, spec = {} }: PodTemplate,
  { clusterName, keepsLabel, namespaceLabels }: PodSettings,
): OfflinePod {
  const own = metadata?.labels ?? {};
  const facts = {
    namespace: head.namespace,
    labels: own,
    namespaceLabels: namespaceLabels(head.namespace),
    serviceAccount: spec.serviceAccountName ?? "default",
    cluster: clusterName,
  };
  return {
    ...head,
    own,
    annotations: metadata?.annotations ?? {},
    labels: securityLabels(facts, keepsLabel),
    ports: declaredPorts(spec),
    hostNetwork: spec.hostNetwork ?? false,
    node: spec.nodeName ?? "",
  };
}

function declaredPorts({ containers = [], initContainers = [] }: PodSpec): DeclaredPort[] {
  const sidecars = initContainers.filter(({ restartPolicy }) => restartPolicy === "Always");
  return [...containers, ...sidecars].flatMap(({ ports = [] }) =>
    ports.map(({ name = "", containerPort, protocol = "TCP" }) => ({
      name,
      port: containerPort,
      proto: protocolNumber(protocol),
    })),
  );
}
