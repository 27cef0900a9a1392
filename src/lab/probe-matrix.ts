// SPDX-License-Identifier: Apache-2.0

import { targetPort } from "./controllers/slices.ts";
import type { Pod, Service, ServicePort } from "./objects.ts";
import { podIsFinished } from "./objects.ts";
import type { Attempt, ClusterView, ProbeOptions } from "./probe-attempt.ts";
import { workloadOf } from "./status.ts";

const SYSTEM = "kube-system";

/** From one running pod of every workload to every port of every Service; headless ones by their pods. Pure. */
export function matrixAttempts(
  view: ClusterView,
  options: Pick<ProbeOptions, "namespaces" | "pods">,
): Attempt[] {
  const wanted = (namespace: string) =>
    options.namespaces ? options.namespaces.includes(namespace) : namespace !== SYSTEM;
  const sources = new Map<string, Pod>();
  for (const pod of view.pods) {
    const namespace = pod.metadata.namespace ?? "";
    if (!wanted(namespace) || !isRunning(pod)) continue;
    const key = `${namespace}/${workloadOf(pod)}`;
    if (!sources.has(key)) sources.set(key, pod);
  }
  const services = view.services.filter(
    (service) => wanted(service.metadata.namespace ?? "") && !isApi(service),
  );
  const out: Attempt[] = [];
  for (const key of [...sources.keys()].sort()) {
    const pod = sources.get(key)!;
    for (const service of [...services].sort(byName)) {
      for (const port of service.spec.ports ?? [])
        out.push(...portAttempts(view, pod, { service, port }, options.pods === true));
    }
  }
  return out;
}

function byName(a: Service, b: Service): number {
  const name = (service: Service) => `${service.metadata.namespace}/${service.metadata.name}`;
  return name(a) < name(b) ? -1 : 1;
}

/** The API server's own Service is no workload's. */
function isApi({ metadata }: Service): boolean {
  return metadata.namespace === "default" && metadata.name === "kubernetes";
}

export function isRunning(pod: Pod): boolean {
  return (
    pod.status?.phase === "Running" &&
    !podIsFinished(pod) &&
    !pod.metadata.deletionTimestamp &&
    (pod.status.podIPs ?? []).length > 0
  );
}

export function sourceOf(pod: Pod): Pick<Attempt, "from" | "node"> {
  const from = { namespace: pod.metadata.namespace ?? "", workload: workloadOf(pod), pod: pod.metadata.name };
  return { from, node: pod.spec.nodeName ?? "" };
}

interface Target {
  readonly service: Service;
  readonly port: ServicePort;
}

function portAttempts(view: ClusterView, pod: Pod, { service, port }: Target, pods: boolean): Attempt[] {
  const protocol = port.protocol ?? "TCP";
  if (protocol !== "TCP" && protocol !== "UDP") return [];
  const { namespace = "", name } = service.metadata;
  const backends = backendPods(view, service);
  const headless = service.spec.clusterIP === "None";
  const out: Attempt[] = [];
  if (!headless) {
    for (const ip of service.spec.clusterIPs ?? []) {
      const to = { namespace, service: name, pod: "", ip, port: port.port, protocol } as const;
      out.push({ ...sourceOf(pod), to, via: "service", unbacked: backends.length === 0 });
    }
  }
  if (!headless && !pods) return out;
  for (const backend of backends) {
    const number = targetPort(port, backend);
    if (number === undefined) continue;
    for (const { ip } of backend.status?.podIPs ?? []) {
      const to = {
        namespace,
        service: name,
        pod: backend.metadata.name,
        ip,
        port: number,
        protocol,
      } as const;
      out.push({ ...sourceOf(pod), to, via: "pod", unbacked: false });
    }
  }
  return out;
}

/** Ready pods behind a Service, by its slices. */
export function backendPods(view: ClusterView, service: Service): Pod[] {
  const names = new Set<string>();
  for (const slice of view.slices) {
    if (slice.metadata.namespace !== service.metadata.namespace) continue;
    if (slice.metadata.labels?.["kubernetes.io/service-name"] !== service.metadata.name) continue;
    for (const endpoint of slice.endpoints ?? []) {
      if (endpoint.conditions?.ready !== false && endpoint.targetRef) names.add(endpoint.targetRef.name);
    }
  }
  return view.pods.filter(
    (pod) => pod.metadata.namespace === service.metadata.namespace && names.has(pod.metadata.name),
  );
}
