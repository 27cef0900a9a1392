// SPDX-License-Identifier: Apache-2.0
import { hash32 } from "#lib/hash.ts";
import {
  type EndpointSlice,
  type Pod,
  podIsFinished,
  podIsReady,
  type Service,
  type ServicePort,
  type SliceEndpoint,
} from "../objects.ts";
import { canonicalJson, ownerReference } from "./owned-pods.ts";

export const SERVICE_LABEL = "kubernetes.io/service-name";
export const MANAGED_BY = "endpointslice.kubernetes.io/managed-by";
export const MANAGER = "endpointslice-controller.k8s.io";
/** As in Kubernetes: more endpoints than this go into a further slice. */
const SLICE_LIMIT = 100;

interface ResolvedPort {
  name: string;
  port: number;
  protocol: string;
  appProtocol?: string;
}

/** The number behind a Service port on this pod: a number, or the container port of that name; undefined: the pod has none. */
export function targetPort(port: ServicePort, pod: Pod): number | undefined {
  const target = port.targetPort ?? port.port;
  if (typeof target === "number") return target;
  const protocol = port.protocol ?? "TCP";
  const restartable = (pod.spec.initContainers ?? []).filter(
    (container) => container.restartPolicy === "Always",
  );
  for (const container of [...pod.spec.containers, ...restartable]) {
    const found = (container.ports ?? []).find(
      (one) => one.name === target && (one.protocol ?? "TCP") === protocol,
    );
    if (found) return found.containerPort;
  }
  return undefined;
}

/** The EndpointSlices a Service should have: per family, per set of port numbers, at most 100 endpoints each. Pure. */
export function desiredSlices(service: Service, pods: readonly Pod[]): EndpointSlice[] {
  const out: EndpointSlice[] = [];
  for (const family of service.spec.ipFamilies ?? ["IPv4"]) {
    const groups = new Map<string, { ports: ResolvedPort[]; endpoints: SliceEndpoint[] }>();
    for (const pod of [...pods].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))) {
      const address = podAddress(pod, family);
      if (address === undefined || podIsFinished(pod)) continue;
      const ports = resolvePorts(service, pod);
      const key = canonicalJson(ports);
      const group = groups.get(key) ?? { ports, endpoints: [] };
      groups.set(key, group);
      group.endpoints.push(endpoint(service, pod, address));
    }
    if (groups.size === 0) groups.set("", { ports: [], endpoints: [] });
    for (const [key, { ports, endpoints }] of groups) {
      for (let at = 0; at === 0 || at < endpoints.length; at += SLICE_LIMIT) {
        const tag = hash32(`${family} ${key} ${at}`).toString(36).padStart(5, "0").slice(-5);
        out.push(slice(service, { family, ports, tag, endpoints: endpoints.slice(at, at + SLICE_LIMIT) }));
      }
    }
  }
  return out;
}

function podAddress(pod: Pod, family: string): string | undefined {
  return pod.status?.podIPs?.find(({ ip }) => ip.includes(":") === (family === "IPv6"))?.ip;
}

function resolvePorts(service: Service, pod: Pod): ResolvedPort[] {
  return (service.spec.ports ?? []).flatMap((port) => {
    const number = targetPort(port, pod);
    if (number === undefined) return [];
    const resolved: ResolvedPort = { name: port.name ?? "", port: number, protocol: port.protocol ?? "TCP" };
    if (port.appProtocol) resolved.appProtocol = port.appProtocol;
    return [resolved];
  });
}

function endpoint(service: Service, pod: Pod, address: string): SliceEndpoint {
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const serving = podIsReady(pod);
  const { hostname, subdomain, nodeName } = pod.spec;
  return {
    addresses: [address],
    conditions: {
      ready: service.spec.publishNotReadyAddresses ? true : serving && !terminating,
      serving,
      terminating,
    },
    ...(hostname && subdomain === service.metadata.name && { hostname }),
    ...(nodeName && { nodeName }),
    targetRef: {
      kind: "Pod",
      namespace: pod.metadata.namespace ?? "default",
      name: pod.metadata.name,
      ...(pod.metadata.uid && { uid: pod.metadata.uid }),
    },
  };
}

interface SliceParts {
  readonly family: string;
  readonly ports: ResolvedPort[];
  readonly endpoints: SliceEndpoint[];
  readonly tag: string;
}

function slice(service: Service, { family, ports, endpoints, tag }: SliceParts): EndpointSlice {
  const headless = service.spec.clusterIP === "None";
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `${service.metadata.name}-${tag}`,
      namespace: service.metadata.namespace ?? "default",
      labels: {
        ...service.metadata.labels,
        [SERVICE_LABEL]: service.metadata.name,
        [MANAGED_BY]: MANAGER,
        ...(headless && { "service.kubernetes.io/headless": "" }),
      },
      ownerReferences: [ownerReference(service)],
    },
    addressType: family as "IPv4" | "IPv6",
    endpoints,
    ports,
  };
}

/** The subsets of the legacy Endpoints object: its Service's first family only, as it has always been. Pure. */
export function legacySubsets(slices: readonly EndpointSlice[], family: string): unknown[] {
  return slices
    .filter((one) => one.addressType === family && (one.endpoints ?? []).length > 0)
    .map((one) => {
      const addresses = (ready: boolean) =>
        (one.endpoints ?? [])
          .filter((each) => each.conditions?.ready === ready && !(each.conditions.terminating && !ready))
          .map((each) => ({
            ip: each.addresses[0],
            ...(each.hostname && { hostname: each.hostname }),
            ...(each.nodeName && { nodeName: each.nodeName }),
            ...(each.targetRef && { targetRef: each.targetRef }),
          }));
      const [ready, notReady] = [addresses(true), addresses(false)];
      return {
        ...(ready.length > 0 && { addresses: ready }),
        ...(notReady.length > 0 && { notReadyAddresses: notReady }),
        ports: (one.ports ?? []).map(({ name, ...rest }) => ({ ...(name && { name }), ...rest })),
      };
    });
}
