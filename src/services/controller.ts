// SPDX-License-Identifier: Apache-2.0
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { type Address, type Family, family } from "#model/ip.ts";
import type { Node } from "#nodes/node.ts";
import { frontendsOf, type Here, healthCheckOf, hostPortFrontends } from "#services/frontends.ts";
import { ageOfPod, ageOfRedirect, ageOfService, Owners } from "#services/owners.ts";
import type { Redirect } from "#services/redirects.ts";
import { ScreenedServices } from "#services/screen.ts";
import type { Algorithm, ForwardingMode, Frontend } from "#services/service.ts";
import {
  type EndpointSlice,
  type HealthCheck,
  type HostPort,
  type Service,
  serviceKey,
} from "#services/table.ts";
import { startController } from "#store/controller.ts";
import type { Changes, Database, Table, Transaction, WritableTable } from "#store/table.ts";

export interface ServiceControllerDeps {
  readonly db: Database;
  readonly services: Table<Service>;
  readonly endpointSlices: Table<EndpointSlice>;
  readonly hostPorts: Table<HostPort>;
  readonly redirects: Table<Redirect>;
  /** For the addresses NodePorts are served on, and the zone: the own node's. */
  readonly nodes: Table<Node>;
  /** Written. */
  readonly frontends: WritableTable<Frontend>;
  /** Written. */
  readonly healthChecks: WritableTable<HealthCheck>;
  readonly families: readonly Family[];
  /** For services that say nothing of it. */
  readonly algorithm?: Algorithm;
  readonly forwarding?: ForwardingMode;
  readonly health: Health;
  readonly log: Logger;
}

/**
 * Services × EndpointSlices × our node → frontends and health checks; hostPorts → frontends. Only what a change concerns
 * is looked at.
 */
export function startServiceController(deps: ServiceControllerDeps, signal: AbortSignal): AsyncDisposable {
  const {
    db,
    services,
    endpointSlices,
    hostPorts,
    redirects,
    nodes,
    frontends,
    healthChecks,
    families,
    health,
    log,
  } = deps;
  const { algorithm, forwarding } = deps;
  const owners = new Owners(frontends);
  const sliceService = new Map<string, string>();
  const isNode = (address: Address) => hasAddress(nodes, address);
  const screen = new ScreenedServices({ services, isNode }, endpointSlices);
  let here: Here = { addresses: [], families };
  const serve = (tx: Transaction, key: string) => {
    const service = services.get(key);
    const slices = screen.slicesOf(key);
    const rows = service ? frontendsOf(service, slices, here) : [];
    owners.set(tx, { name: key, age: ageOfService(key, service?.createdMs) }, rows);
    const check = service && healthCheckOf(service, slices, here);
    if (check) tx.put(healthChecks, check);
    else tx.delete(healthChecks, key);
  };
  const open = (tx: Transaction, key: string) => {
    const row = hostPorts.get(key);
    const name = `pod ${key}`;
    owners.set(tx, { name, age: ageOfPod(key) }, row ? hostPortFrontends(row, here) : []);
  };
  const redirect = (tx: Transaction, key: string) => {
    const row = redirects.get(key);
    const rows = row?.frontends.filter(({ address }) => families.includes(family(address))) ?? [];
    owners.set(tx, { name: `redirect ${key}`, age: row ? ageOfRedirect(row) : "" }, rows);
  };
  return startController({
    name: "services",
    inputs: { services, endpointSlices, hostPorts, redirects, nodes },
    outputs: [frontends.source("services"), healthChecks.source("services")],
    signal,
    health,
    log,
    run(changes) {
      const concerned = new Set(changes.services.keys());
      for (const key of changes.services.keys())
        for (const other of screen.concernedBy(key)) concerned.add(other);
      collectServices(changes.endpointSlices, sliceService, concerned);
      const ports = new Set(changes.hostPorts.keys());
      const now = {
        ...placeOf(nodes, families),
        ...(algorithm && { algorithm }),
        ...(forwarding && { forwarding }),
      };
      if (JSON.stringify(now) !== JSON.stringify(here)) {
        here = now;
        for (const service of services.all()) concerned.add(serviceKey(service));
        for (const row of hostPorts.all()) ports.add(hostPorts.keyOf(row));
      }
      db.write((tx) => {
        for (const key of concerned) serve(tx, key);
        for (const key of ports) open(tx, key);
        for (const key of changes.redirects.keys()) redirect(tx, key);
      });
      return `${services.size} service(s), ${frontends.size} frontend(s)`;
    },
  });
}

/** Whether a node has the address. */
export function hasAddress(nodes: Table<Node>, address: Address): boolean {
  for (const { addresses, externalAddresses = [] } of nodes.all())
    if (addresses.includes(address) || externalAddresses.includes(address)) return true;
  return false;
}

/** What of the own node matters to services. */
export function placeOf(nodes: Table<Node>, families: readonly Family[]): Here {
  const self = [...nodes.all()].find((node) => node.self);
  if (!self) return { addresses: [], families };
  const zone = self.labels.get("k8s:topology.kubernetes.io/zone");
  return {
    nodeName: self.name,
    ...(zone && { zone }),
    addresses: [...new Set([...self.addresses, ...(self.externalAddresses ?? [])])],
    ...(self.externalAddresses && { externalAddresses: self.externalAddresses }),
    families,
    labels: [...self.labels].map(([key, value]) => `${key}=${value}`).sort(),
  };
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
