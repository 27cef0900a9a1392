// SPDX-License-Identifier: Apache-2.0
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { type Address, type Family, family } from "#model/ip.ts";
import type { Node } from "#nodes/node.ts";
import {
  type Backend,
  chooseBackends,
  type Frontend,
  type FrontendType,
  tupleText,
} from "#services/service.ts";
import { type EndpointSlice, type Service, type ServicePort, serviceKey } from "#services/table.ts";
import { startController } from "#store/controller.ts";
import type { Changes, Database, Table, Transaction, WritableTable } from "#store/table.ts";

export interface ServiceControllerDeps {
  readonly db: Database;
  readonly services: Table<Service>;
  readonly endpointSlices: Table<EndpointSlice>;
  /** For the addresses NodePorts are served on: the own node's. */
  readonly nodes: Table<Node>;
  /** Written. */
  readonly frontends: WritableTable<Frontend>;
  readonly families: readonly Family[];
  readonly health: Health;
  readonly log: Logger;
}

/** Services × EndpointSlices × our node's addresses → frontends. Only the services that a change concerns are looked at. */
export function startServiceController(deps: ServiceControllerDeps, signal: AbortSignal): AsyncDisposable {
  const { db, services, endpointSlices, nodes, frontends, families, health, log } = deps;
  const owners = new Owners(frontends);
  const sliceService = new Map<string, string>();
  let here: Here = { addresses: [], families };
  return startController({
    name: "services",
    inputs: { services, endpointSlices, nodes },
    outputs: [frontends.source("services")],
    signal,
    health,
    log,
    run(changes) {
      const concerned = new Set(changes.services.keys());
      collectServices(changes.endpointSlices, sliceService, concerned);
      const self = [...nodes.all()].find((node) => node.self);
      const addresses = self?.addresses ?? [];
      if (addresses.join() !== here.addresses.join() || self?.name !== here.nodeName) {
        here = { addresses, families, ...(self && { nodeName: self.name }) };
        for (const service of services.all()) concerned.add(serviceKey(service));
      }
      db.write((tx) => {
        for (const key of concerned) {
          const service = services.get(key);
          owners.set(
            tx,
            key,
            service ? frontendsOf(service, [...endpointSlices.by("service", key)], here) : [],
          );
        }
      });
      return `${services.size} service(s), ${frontends.size} frontend(s)`;
    },
  });
}

/** A slice may come to belong to another service: both are concerned. */
function collectServices(
  changed: Changes<EndpointSlice>,
  known: Map<string, string>,
  concerned: Set<string>,
): void {
  for (const [key, change] of changed) {
    const before = known.get(key);
    if (before) concerned.add(before);
    concerned.add(change.row.service);
    if (change.kind === "put") known.set(key, change.row.service);
    else known.delete(key);
  }
}

/** What of the own node matters to services. */
export interface Here {
  readonly nodeName?: string;
  readonly addresses: readonly Address[];
  readonly families: readonly Family[];
}

/** The frontends of a service, pure. One without backends is there too: it refuses, where none would let pass. */
function frontendsOf(service: Service, slices: readonly EndpointSlice[], here: Here): Frontend[] {
  const out = new Map<string, Frontend>();
  const known = new Map<string, Backend[]>();
  const endpoints = (port: ServicePort, of: Family): Backend[] => {
    const key = `${port.name}/${port.proto}/${of}`;
    let found = known.get(key);
    if (!found) {
      found = endpointsOf(service, slices, { port, of });
      known.set(key, found);
    }
    return found;
  };
  const add = (type: FrontendType, address: Address, at: { port: ServicePort; number: number }) => {
    const of = family(address);
    if (!here.families.includes(of)) return;
    let candidates = endpoints(at.port, of);
    if (type === "ClusterIP" && service.internalLocal) {
      candidates = candidates.filter(
        (backend) => backend.node !== undefined && backend.node === here.nodeName,
      );
    }
    const { backends, draining } = chooseBackends(candidates);
    const frontend: Frontend = {
      namespace: service.namespace,
      name: service.name,
      portName: at.port.name,
      type,
      address,
      port: at.number,
      proto: at.port.proto,
      backends,
      ...(draining.length > 0 && { draining }),
      ...(service.affinitySec > 0 && { affinitySec: service.affinitySec }),
    };
    const key = tupleText(frontend);
    if (!out.has(key)) out.set(key, frontend);
  };
  if (service.clusterIps.length === 0) return [];
  const serviceFamilies = new Set(service.clusterIps.map(family));
  for (const port of service.ports) {
    for (const address of service.clusterIps) add("ClusterIP", address, { port, number: port.port });
    for (const address of service.externalIps) add("ExternalIP", address, { port, number: port.port });
    for (const address of service.ingressIps) add("LoadBalancer", address, { port, number: port.port });
    if (port.nodePort === 0) continue;
    for (const address of here.addresses) {
      if (serviceFamilies.has(family(address))) add("NodePort", address, { port, number: port.nodePort });
    }
  }
  return [...out.values()];
}

/** All endpoints for a port in one family, each once, by address. */
function endpointsOf(
  service: Service,
  slices: readonly EndpointSlice[],
  want: { readonly port: ServicePort; readonly of: Family },
): Backend[] {
  const found = new Map<string, Backend>();
  for (const slice of slices) {
    for (const { name, proto, port } of slice.ports) {
      if (name !== want.port.name || proto !== want.port.proto) continue;
      for (const endpoint of slice.endpoints) {
        if (family(endpoint.address) !== want.of) continue;
        const ready = endpoint.ready || service.publishNotReady;
        const backend: Backend = { ...endpoint, port, proto, ready };
        const key = `${endpoint.address} ${port}`;
        // An endpoint on its way from one slice to another is in both for a moment.
        if (!found.get(key)?.ready) found.set(key, backend);
      }
    }
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, backend]) => backend);
}

/** Which services claim which frontends: of two that claim one address and port, the first by name has it. */
class Owners {
  readonly #table: WritableTable<Frontend>;
  readonly #byService = new Map<string, Map<string, Frontend>>();
  readonly #byFrontend = new Map<string, Set<string>>();

  constructor(table: WritableTable<Frontend>) {
    this.#table = table;
  }

  set(tx: Transaction, service: string, rows: readonly Frontend[]): void {
    const before = this.#byService.get(service);
    const now = new Map(rows.map((row) => [this.#table.keyOf(row), row]));
    if (now.size > 0) this.#byService.set(service, now);
    else this.#byService.delete(service);
    for (const key of before?.keys() ?? []) if (!now.has(key)) this.#byFrontend.get(key)?.delete(service);
    for (const key of now.keys()) {
      const claims = this.#byFrontend.get(key);
      if (claims) claims.add(service);
      else this.#byFrontend.set(key, new Set([service]));
    }
    for (const key of new Set([...(before?.keys() ?? []), ...now.keys()])) this.#decide(tx, key);
  }

  #decide(tx: Transaction, key: string): void {
    const claims = this.#byFrontend.get(key);
    const winner = claims && [...claims].sort()[0];
    const row = winner === undefined ? undefined : this.#byService.get(winner)?.get(key);
    if (row) {
      tx.put(this.#table, row);
    } else {
      this.#byFrontend.delete(key);
      tx.delete(this.#table, key);
    }
  }
}
