// SPDX-License-Identifier: Apache-2.0
import { type Address, isAddress, parseAddress } from "#model/ip.ts";
import { protocolNumber } from "#model/port.ts";
import type { ServiceObject, ServicePortSpec, SliceObject, SourcedObject } from "./objects.ts";
import type { OfflinePod } from "./pods.ts";

export interface OfflineService {
  readonly namespace: string;
  readonly name: string;
  /** None of a headless one, and where only a manifest is known. */
  readonly addresses: readonly Address[];
  readonly headless: boolean;
  readonly labels: Readonly<Record<string, string>>;
  /** Absent: somebody else writes its EndpointSlices. */
  readonly selector?: Readonly<Record<string, string>>;
  readonly ports: readonly OfflineServicePort[];
}

export interface OfflineServicePort {
  readonly name: string;
  readonly port: number;
  readonly proto: number;
  readonly backends: readonly OfflineBackend[];
}

/** Who answers: a pod, or an address outside the cluster that an EndpointSlice names. */
export interface OfflineBackend {
  readonly pod?: OfflinePod;
  readonly address?: Address;
  readonly port: number;
}

/** Services with their backends: pods that the selector matches; without selector the addresses of their EndpointSlices. */
export function servicesOf(
  objects: readonly SourcedObject[],
  pods: readonly OfflinePod[],
  defaultNamespace: string,
): OfflineService[] {
  const out: OfflineService[] = [];
  for (const { object } of objects) {
    if (object.kind !== "Service" || object.apiVersion !== "v1") continue;
    const { metadata, spec = {} } = object as ServiceObject;
    if (spec.type === "ExternalName") continue;
    const namespace = metadata.namespace ?? defaultNamespace;
    const given = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
    const { selector } = spec;
    const behind = selector ? selected(pods, namespace, selector) : [];
    const slices = selector ? [] : slicesOf(objects, namespace, metadata.name, defaultNamespace);
    out.push({
      namespace,
      name: metadata.name,
      addresses: given.filter(isAddress).map(parseAddress),
      headless: spec.clusterIP === "None",
      labels: metadata.labels ?? {},
      ...(selector && { selector }),
      ports: (spec.ports ?? []).map((port) => ({
        name: port.name ?? "",
        port: port.port,
        proto: protocolNumber(port.protocol ?? "TCP"),
        backends: selector ? podBackends(behind, port) : sliceBackends(slices, port, pods),
      })),
    });
  }
  return out.sort((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1));
}

function selected(
  pods: readonly OfflinePod[],
  namespace: string,
  selector: Readonly<Record<string, string>>,
): OfflinePod[] {
  const wanted = Object.entries(selector);
  if (wanted.length === 0) return [];
  return pods.filter(
    (pod) => pod.namespace === namespace && wanted.every(([key, value]) => pod.own[key] === value),
  );
}

function podBackends(pods: readonly OfflinePod[], port: ServicePortSpec): OfflineBackend[] {
  const target = port.targetPort ?? port.port;
  return pods.flatMap((pod) => {
    const number = typeof target === "number" ? target : portNamed(pod, target, port.protocol ?? "TCP");
    return number === undefined ? [] : [{ pod, port: number }];
  });
}

function portNamed(pod: OfflinePod, name: string, protocol: string): number | undefined {
  const found = pod.ports.find((port) => port.name === name && port.proto === protocolNumber(protocol));
  if (found || !/^\d+$/.test(name)) return found?.port;
  return Number(name);
}

function slicesOf(
  objects: readonly SourcedObject[],
  namespace: string,
  name: string,
  defaultNamespace: string,
): SliceObject[] {
  return objects
    .map(({ object }) => object)
    .filter(
      ({ kind, metadata }) =>
        kind === "EndpointSlice" &&
        (metadata.namespace ?? defaultNamespace) === namespace &&
        metadata.labels?.["kubernetes.io/service-name"] === name,
    ) as SliceObject[];
}

function sliceBackends(
  slices: readonly SliceObject[],
  port: ServicePortSpec,
  pods: readonly OfflinePod[],
): OfflineBackend[] {
  return slices.flatMap(({ endpoints, ports }) => {
    const found = ports?.find((one) => (one.name ?? "") === (port.name ?? ""));
    const ready = (endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false);
    const addresses = ready.flatMap((endpoint) => endpoint.addresses ?? []).filter(isAddress);
    return addresses.map(parseAddress).map((address) => {
      const pod = pods.find((one) => !one.hostNetwork && one.addresses.includes(address));
      return { ...(pod ? { pod } : { address }), port: found?.port ?? port.port };
    });
  });
}
