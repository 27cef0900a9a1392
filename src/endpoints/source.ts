// SPDX-License-Identifier: Apache-2.0
import type { KubeObject } from "#k8s/resource.ts";
import {
  auditAnnotation,
  delegateSourceCheckAnnotation,
  isSwitchedOn,
  noSourceCheckAnnotation,
  sockmapAnnotation,
  switchOf,
} from "#model/annotations.ts";
import { isAddress, parseAddress } from "#model/ip.ts";
import type { NamedPort } from "./endpoint.ts";
import type { ClusterEndpoint, Namespace, Pod, PodHostPort, Workload } from "./table.ts";

/** The fields of a core/v1 Pod that the agent reads. */
export interface PodObject extends KubeObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly OwnerReference[];
    readonly deletionTimestamp?: string;
  };
  readonly spec?: {
    readonly serviceAccountName?: string;
    readonly initContainers?: readonly ContainerObject[];
    readonly containers?: readonly ContainerObject[];
  };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

interface OwnerReference {
  readonly kind: string;
  readonly name: string;
  readonly controller?: boolean;
}

interface ContainerObject {
  readonly ports?: readonly {
    readonly name?: string;
    readonly containerPort: number;
    readonly protocol?: string;
    readonly hostPort?: number;
    readonly hostIP?: string;
  }[];
}

export interface NamespaceObject extends KubeObject {
  readonly metadata: {
    readonly name: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

/** cilium.io/v2 CiliumEndpoint, the fields that agents exchange. */
export interface CiliumEndpointObject extends KubeObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly {
      readonly apiVersion: string;
      readonly kind: string;
      readonly name: string;
      readonly uid: string;
    }[];
  };
  readonly status?: {
    readonly id?: number;
    readonly state?: string;
    readonly identity?: { readonly id: number; readonly labels: readonly string[] };
    readonly networking?: {
      readonly addressing: readonly { readonly ipv4?: string; readonly ipv6?: string }[];
      readonly node?: string;
    };
    readonly "named-ports"?: readonly {
      readonly name: string;
      readonly port: number;
      readonly protocol: string;
    }[];
  };
}

const protocols: Readonly<Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132 };

/** IANA number of what Kubernetes calls a protocol; TCP for what it does not know. */
export function protocolNumber(name: string): number {
  return protocols[name] ?? 6;
}

export function podRow(pod: PodObject): Pod {
  const { name, namespace, uid, labels = {}, annotations } = pod.metadata;
  const { containers = [], initContainers = [], serviceAccountName = "default" } = pod.spec ?? {};
  const namedPorts: NamedPort[] = [];
  const hostPorts: PodHostPort[] = [];
  for (const container of [...initContainers, ...containers]) {
    for (const port of container.ports ?? []) {
      if (port.name)
        namedPorts.push({
          name: port.name,
          port: port.containerPort,
          proto: protocolNumber(port.protocol ?? "TCP"),
        });
      if (port.hostPort)
        hostPorts.push({
          proto: protocolNumber(port.protocol ?? "TCP"),
          port: port.hostPort,
          ...(port.hostIP && isAddress(port.hostIP) && { hostIp: parseAddress(port.hostIP) }),
          targetPort: port.containerPort,
        });
    }
  }
  const workload = workloadOf(pod);
  const sockmap = switchOf(annotations, sockmapAnnotation);
  // The kubelet's mirror of a static pod says here what the pod's uid is for the kubelet itself.
  const staticUid = annotations?.["kubernetes.io/config.mirror"];
  return {
    namespace,
    name,
    uid,
    ...(staticUid && { staticUid }),
    labels,
    serviceAccount: serviceAccountName,
    ...(isReady(pod) && { ready: true }),
    namedPorts,
    ...(hostPorts.length > 0 && { hostPorts }),
    ...(workload && { workload }),
    ...(isSwitchedOn(annotations, auditAnnotation) && { audit: true }),
    ...(isSwitchedOn(annotations, noSourceCheckAnnotation) && { anySource: true }),
    ...(sockmap !== undefined && { sockmap }),
  };
}

function isReady({ metadata, status }: PodObject): boolean {
  if (metadata.deletionTimestamp !== undefined) return false;
  return status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") ?? false;
}

/** The pod's controller; for a ReplicaSet that a Deployment made, which carries the template's hash in its name, the Deployment. */
export function workloadOf({ metadata }: PodObject): Workload | undefined {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
  if (!owner) return undefined;
  const suffix = `-${metadata.labels?.["pod-template-hash"]}`;
  if (owner.kind === "ReplicaSet" && owner.name.endsWith(suffix)) {
    return { kind: "Deployment", name: owner.name.slice(0, -suffix.length) };
  }
  return { kind: owner.kind, name: owner.name };
}

export function namespaceRow(namespace: NamespaceObject): Namespace {
  const { name, labels = {}, annotations } = namespace.metadata;
  const delegatesSource = isSwitchedOn(annotations, delegateSourceCheckAnnotation);
  return { name, labels, ...(delegatesSource && { delegatesSource }) };
}

/** Undefined while the object says nothing of address and identity yet. */
export function clusterEndpointRow(object: CiliumEndpointObject): ClusterEndpoint | undefined {
  const { identity, networking } = object.status ?? {};
  if (!identity || !networking) return undefined;
  const addresses = networking.addressing
    .flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6])
    .filter((text) => text !== undefined);
  return {
    namespace: object.metadata.namespace,
    name: object.metadata.name,
    identity: identity.id,
    addresses: addresses.filter(isAddress),
    nodeAddress: networking.node ?? "",
    namedPorts: (object.status?.["named-ports"] ?? []).map(({ name, port, protocol }) => ({
      name,
      port,
      proto: protocolNumber(protocol),
    })),
    labels: identity.labels,
  };
}
