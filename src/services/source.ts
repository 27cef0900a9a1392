// SPDX-License-Identifier: Apache-2.0
import type { V1EndpointHints, V1EndpointSlice, V1Service } from "@kubernetes/client-node";
import type { KubeClient } from "#k8s/client.ts";
import { reflect } from "#k8s/reflect.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { WeftError } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { OneOfEach } from "#lib/one-of-each.ts";
import { type Address, type Prefix, parseAddress, parsePrefix } from "#model/ip.ts";
import { readServiceAnnotations, readWeight } from "#services/annotations.ts";
import type { EndpointSlice, Service, ServicePort, SliceEndpoint } from "#services/table.ts";
import type { Database, WritableTable } from "#store/table.ts";

export interface ServiceSourceDeps {
  readonly client: KubeClient;
  readonly db: Database;
  readonly services: WritableTable<Service>;
  readonly endpointSlices: WritableTable<EndpointSlice>;
  /** Serve those whose service-proxy-name is this; absent: those without one. */
  readonly proxyName?: string;
  readonly health: Health;
  readonly log: Logger;
}

/** Not served by a node's own load balancer: somebody else's (KEP-2447), or without an address. */
const proxyName = "service.kubernetes.io/service-proxy-name";
const notHeadless = "!service.kubernetes.io/headless";

/** Follows Services and EndpointSlices. */
export function startServiceSource(deps: ServiceSourceDeps, signal: AbortSignal): AsyncDisposable {
  const { client, db, health, log } = deps;
  const ours = deps.proxyName ? `${proxyName}=${deps.proxyName}` : `!${proxyName}`;
  const common = { client, db, health, log, signal };
  const stack = new AsyncDisposableStack();
  stack.use(
    reflect<V1Service & KubeObject, Service>({
      ...common,
      resource: resources.services,
      labelSelector: `${ours},${notHeadless}`,
      table: deps.services,
      toRow: toService,
    }),
  );
  stack.use(
    reflect<V1EndpointSlice & KubeObject, EndpointSlice>({
      ...common,
      resource: resources.endpointSlices,
      labelSelector: `${ours},${notHeadless}`,
      table: deps.endpointSlices,
      toRow: toEndpointSlice,
    }),
  );
  return stack;
}

/** @returns undefined for an ExternalName. @throws WeftError E_SERVICE for a field that cannot be read */
export function toService(object: V1Service & KubeObject): Service | undefined {
  const { namespace = "", name = "" } = object.metadata ?? {};
  const spec = object.spec ?? {};
  const type = spec.type ?? "ClusterIP";
  if (type === "ExternalName") return undefined;
  if (type !== "ClusterIP" && type !== "NodePort" && type !== "LoadBalancer") {
    throw new WeftError("E_SERVICE", `Service ${namespace}/${name}: spec.type "${type}" is unknown`);
  }
  const read = (field: string, texts: readonly string[]): Address[] =>
    texts
      .filter((text) => text !== "" && text !== "None")
      .map((text) => {
        try {
          return parseAddress(text);
        } catch (cause) {
          throw new WeftError("E_SERVICE", `Service ${namespace}/${name}: ${field}`, { cause });
        }
      });
  const { problems: misread, ...asked } = readServiceAnnotations(object.metadata?.annotations);
  const problems: string[] = [...misread];
  const ports: ServicePort[] = [];
  for (const port of spec.ports ?? []) {
    const proto = protocols[port.protocol ?? "TCP"];
    if (proto) ports.push({ name: port.name ?? "", proto, port: port.port, nodePort: port.nodePort ?? 0 });
    else problems.push(`port ${port.port}: protocol ${port.protocol} is not supported`);
  }
  const ingress = object.status?.loadBalancer?.ingress ?? [];
  // ipMode Proxy (KEP-1860): what comes to that address must pass the load balancer itself.
  const ingressIps = ingress.filter((entry) => entry.ipMode !== "Proxy").flatMap((entry) => entry.ip ?? []);
  const affinity =
    spec.sessionAffinity === "ClientIP"
      ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800)
      : 0;
  return {
    namespace,
    name,
    type,
    clusterIps: read("spec.clusterIPs", spec.clusterIPs ?? (spec.clusterIP ? [spec.clusterIP] : [])),
    externalIps: read("spec.externalIPs", spec.externalIPs ?? []),
    ingressIps: type === "LoadBalancer" ? read("status.loadBalancer", ingressIps) : [],
    ports,
    affinitySec: affinity,
    internalLocal: spec.internalTrafficPolicy === "Local",
    externalLocal: spec.externalTrafficPolicy === "Local",
    sourceRanges: type === "LoadBalancer" ? readRanges(object) : [],
    healthCheckPort: type === "LoadBalancer" ? (spec.healthCheckNodePort ?? 0) : 0,
    ...asked,
    publishNotReady: spec.publishNotReadyAddresses === true,
    ...(spec.loadBalancerClass && { loadBalancerClass: spec.loadBalancerClass }),
    createdMs: Date.parse(String(object.metadata?.creationTimestamp)) || 0,
    ...(object.metadata?.labels && { labels: object.metadata.labels }),
    ...(Object.keys(spec.selector ?? {}).length > 0 && { selector: spec.selector! }),
    problems,
  };
}

/** The annotation is of before there was a field; the field goes first. */
function readRanges({ metadata, spec }: V1Service & KubeObject): Prefix[] {
  const annotation = metadata?.annotations?.["service.beta.kubernetes.io/load-balancer-source-ranges"];
  const texts = spec?.loadBalancerSourceRanges ?? annotation?.split(",") ?? [];
  return texts
    .map((text) => text.trim())
    .filter((text) => text !== "")
    .map((text) => {
      try {
        return parsePrefix(text);
      } catch (cause) {
        const name = `${metadata?.namespace}/${metadata?.name}`;
        throw new WeftError("E_SERVICE", `Service ${name}: spec.loadBalancerSourceRanges`, { cause });
      }
    });
}

const protocols: Readonly<Record<string, number>> = { TCP: 6, UDP: 17 };
const managedBy = "endpointslice.kubernetes.io/managed-by";
const madeOfPods = "endpointslice-controller.k8s.io";

/** There are many endpoints of few nodes. */
const nodeNames = new OneOfEach(10_000);

/** @returns undefined for names instead of addresses, and for a slice that belongs to no Service */
export function toEndpointSlice(object: V1EndpointSlice & KubeObject): EndpointSlice | undefined {
  const { namespace = "", name = "" } = object.metadata ?? {};
  const service = object.metadata?.labels?.["kubernetes.io/service-name"];
  if (!service || object.addressType === "FQDN") return undefined;
  const ports: { name: string; proto: number; port: number }[] = [];
  for (const port of object.ports ?? []) {
    const proto = protocols[port.protocol ?? "TCP"];
    if (proto && port.port) ports.push({ name: port.name ?? "", proto, port: port.port });
  }
  const endpoints: SliceEndpoint[] = [];
  const weight = readWeight(object.metadata?.annotations);
  for (const endpoint of object.endpoints ?? []) {
    // KEP-1672: an unknown "ready" is to be taken for true, an unknown "serving" for "ready".
    const ready = endpoint.conditions?.ready ?? true;
    const serving = endpoint.conditions?.serving ?? ready;
    const terminating = endpoint.conditions?.terminating ?? false;
    const node = endpoint.nodeName && nodeNames.one(endpoint.nodeName);
    const first = endpoint.addresses[0];
    if (!first) continue;
    const hints = endpoint.hints && hintsOf(endpoint.hints);
    const address = parseAddress(first);
    // Of hundreds of thousands most are no more than this.
    const plain = node
      ? { address, node, ready, serving, terminating }
      : { address, ready, serving, terminating };
    if (weight === undefined && !hints) endpoints.push(plain);
    else endpoints.push({ ...plain, ...(weight !== undefined && { weight }), ...(hints && { hints }) });
  }
  const foreign = object.metadata?.labels?.[managedBy] !== madeOfPods;
  return {
    namespace,
    name,
    service: `${namespace}/${service}`,
    ports,
    endpoints,
    ...(foreign && { foreign }),
  };
}

/** @returns undefined where there are none */
function hintsOf({ forNodes = [], forZones = [] }: V1EndpointHints): SliceEndpoint["hints"] {
  const names = (list: readonly { readonly name: string }[]) => list.map(({ name }) => name);
  if (forNodes.length === 0 && forZones.length === 0) return undefined;
  return { nodes: names(forNodes), zones: names(forZones) };
}
