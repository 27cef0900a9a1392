// SPDX-License-Identifier: Apache-2.0
import { type Address, type Family, family, parseAddress } from "#model/ip.ts";
import { parseLabelSelector } from "#model/selector-text.ts";
import type { ExposedType } from "#services/annotations.ts";
import {
  type Algorithm,
  type Backend,
  chooseBackends,
  type ForwardingMode,
  type Frontend,
  type FrontendType,
  frontendKey,
  type Place,
} from "#services/service.ts";
import type { EndpointSlice, HealthCheck, HostPort, Service, ServicePort } from "#services/table.ts";

/** What of the own node matters to services. */
export interface Here extends Place {
  /** Those that NodePorts and hostPorts are served on. */
  readonly addresses: readonly Address[];
  /** Those of them that other nodes do not know the node by. */
  readonly externalAddresses?: readonly Address[];
  readonly families: readonly Family[];
  /** Labels of the node, `key=value`. */
  readonly labels?: readonly string[];
  /** For services that say nothing of it. */
  readonly algorithm?: Algorithm;
  /** For services that say nothing of it; absent: snat. */
  readonly forwarding?: ForwardingMode;
}

const TCP = 6;

/** The node's own processes reach its ports here too; nobody else can. */
const loopbacks: readonly Address[] = [parseAddress("127.0.0.1"), parseAddress("::1")];

function isLoopback(address: Address): boolean {
  return address === "::1" || address.startsWith("127.");
}

type Where = Pick<Frontend, "type" | "address" | "port" | "portName" | "proto">;

/** The frontends of a service, pure. One without backends is there too: it refuses, where none would let pass. */
export function frontendsOf(service: Service, slices: readonly EndpointSlice[], here: Here): Frontend[] {
  if (service.clusterIps.length === 0) return [];
  const out = new Map<string, Frontend>();
  const endpoints = new Map<string, Backend[]>();
  for (const port of service.ports) {
    for (const { type, address, number } of addressesOf(service, port, here)) {
      const of = family(address);
      if (!here.families.includes(of)) continue;
      const key = `${port.name}/${port.proto}/${of}`;
      const candidates = endpoints.get(key) ?? endpointsOf(service, slices, { port, of });
      endpoints.set(key, candidates);
      const where: Where = { type, address, port: number, portName: port.name, proto: port.proto };
      for (const row of rowsOf(service, where, { candidates, here })) {
        const name = frontendKey(row);
        if (!out.has(name)) out.set(name, row);
      }
    }
  }
  return [...out.values()];
}

interface ServedAddress {
  readonly type: FrontendType;
  readonly address: Address;
  readonly number: number;
}

function addressesOf(service: Service, { port, nodePort }: ServicePort, here: Here): ServedAddress[] {
  const out: ServedAddress[] = [];
  const add = (type: FrontendType, number: number, addresses: readonly Address[]) => {
    for (const address of addresses) out.push({ type, address, number });
  };
  const served = (type: ExposedType) => !service.exposed || service.exposed.includes(type);
  if (served("ClusterIP")) add("ClusterIP", port, service.clusterIps);
  if (!servesOutside(service, here)) return out;
  add("ExternalIP", port, service.externalIps);
  if (served("LoadBalancer")) add("LoadBalancer", port, service.ingressIps);
  if (!served("NodePort") || nodePort === 0) return out;
  const families = new Set(service.clusterIps.map(family));
  const onNode = [...here.addresses, ...loopbacks].filter((address) => families.has(family(address)));
  add("NodePort", nodePort, onNode);
  return out;
}

/** Whether the node serves what the outside sees of the service: its addresses and ports beside the cluster IPs. */
function servesOutside({ nodeSelector }: Service, { labels = [] }: Here): boolean {
  return nodeSelector === undefined || parseLabelSelector(nodeSelector, "node-selector")(labels);
}

/** One address's row; where the outside meets other backends than the inside, one more. */
function rowsOf(
  service: Service,
  where: Where,
  { candidates, here }: { readonly candidates: readonly Backend[]; readonly here: Here },
): Frontend[] {
  const { namespace, name, affinitySec } = service;
  const algorithm = service.algorithm ?? here.algorithm;
  const sourceRanges = service.sourceRanges.filter((range) => family(range) === family(where.address));
  const anywhere = chooseBackends(candidates, here);
  const local = () => {
    const chosen = chooseBackends(
      candidates.filter(({ node }) => node !== undefined && node === here.nodeName),
    );
    const elsewhere = chosen.backends.length === 0 && anywhere.backends.length > 0;
    return { ...chosen, elsewhere };
  };
  const row = (chosen: ReturnType<typeof chooseBackends> & { readonly elsewhere?: boolean }): Frontend => ({
    namespace,
    name,
    ...where,
    backends: chosen.backends,
    ...(chosen.draining.length > 0 && { draining: chosen.draining }),
    ...(affinitySec > 0 && { affinitySec }),
    ...(chosen.elsewhere === true && { elsewhere: true }),
    ...(where.type === "LoadBalancer" &&
      service.sourceRanges.length > 0 && { sourceRanges, ...(service.denyRanges && { denyRanges: true }) }),
    ...(algorithm === "maglev" && { algorithm }),
    ...(answersDirectly(service, where, here) && { dsr: true }),
  });
  if (where.type === "ClusterIP") return [row(service.internalLocal ? local() : anywhere)];
  if (isLoopback(where.address)) return [{ ...row(anywhere), hostOnly: true }];
  if (!service.externalLocal) return [row(anywhere)];
  return [
    { ...row(local()), scope: "local" },
    { ...row(anywhere), localOutside: true },
  ];
}

/** The node of a backend must know the frontend it answers for. */
function answersDirectly(service: Service, { type, proto, address }: Where, here: Here): boolean {
  const mode = service.forwarding ?? here.forwarding;
  const unknown =
    type === "NodePort" && (isLoopback(address) || here.externalAddresses?.includes(address) === true);
  if (type === "ClusterIP" || unknown || service.nodeSelector !== undefined) return false;
  return mode === "dsr" || (mode === "hybrid" && proto === TCP);
}

/** All endpoints for a port in one family, each once, by address. */
export function endpointsOf(
  service: Service,
  slices: readonly EndpointSlice[],
  want: { readonly port: ServicePort; readonly of: Family },
): Backend[] {
  const found: Backend[] = [];
  for (const slice of slices) {
    for (const { name, proto, port } of slice.ports) {
      if (name !== want.port.name || proto !== want.port.proto) continue;
      for (const endpoint of slice.endpoints) {
        if (family(endpoint.address) !== want.of) continue;
        const ready = endpoint.ready || service.publishNotReady;
        found.push({ ...endpoint, port, proto, ready });
      }
    }
  }
  found.sort(byPlace);
  return found.some((one, i) => i > 0 && byPlace(found[i - 1]!, one) === 0) ? eachOnce(found) : found;
}

function byPlace(a: Backend, b: Backend): number {
  if (a.address !== b.address) return a.address < b.address ? -1 : 1;
  return a.port - b.port;
}

/** An endpoint on its way from one slice to another is in both for a moment: the one that is ready counts. */
function eachOnce(sorted: readonly Backend[]): Backend[] {
  const out: Backend[] = [];
  for (const backend of sorted) {
    const last = out.at(-1);
    if (last === undefined || byPlace(last, backend) !== 0) out.push(backend);
    else if (!last.ready) out[out.length - 1] = backend;
  }
  return out;
}

/** The frontends of a pod's port on its node: the pod alone answers, as long as it is there. */
export function hostPortFrontends(row: HostPort, here: Here): Frontend[] {
  const { namespace, pod, proto, port, hostIp, targetPort, targets } = row;
  if (row.problem !== undefined) return [];
  const anyOf = hostIp === "0.0.0.0" ? 4 : hostIp === "::" ? 6 : undefined;
  const all = [...here.addresses, ...loopbacks].filter((address) => !anyOf || family(address) === anyOf);
  const addresses = hostIp === undefined || anyOf ? all : [hostIp];
  return addresses.flatMap((address): Frontend[] => {
    const target = targets.find((one) => family(one) === family(address));
    if (!target || !here.families.includes(family(address))) return [];
    const backend: Backend = {
      address: target,
      port: targetPort,
      proto,
      ...(here.nodeName !== undefined && { node: here.nodeName }),
      ready: true,
      serving: true,
      terminating: false,
    };
    const where: Where = { type: "HostPort", address, port, portName: "", proto };
    return [
      { namespace, name: pod, ...where, backends: [backend], ...(isLoopback(address) && { hostOnly: true }) },
    ];
  });
}

/** What load balancers are told of the service on this node: how many of its pods here are ready. */
export function healthCheckOf(
  service: Service,
  slices: readonly EndpointSlice[],
  here: Here,
): HealthCheck | undefined {
  const { namespace, name, healthCheckPort, clusterIps } = service;
  if (!service.externalLocal || healthCheckPort === 0 || !clusterIps[0]) return undefined;
  const of = family(clusterIps[0]);
  const local = new Set<Address>();
  for (const { endpoints } of slices)
    for (const { address, node, ready } of endpoints)
      if (ready && node !== undefined && node === here.nodeName && family(address) === of) local.add(address);
  return { namespace, name, port: healthCheckPort, localEndpoints: local.size };
}
