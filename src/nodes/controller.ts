// SPDX-License-Identifier: Apache-2.0
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { ReservedIdentity } from "#model/identity.ts";
import { type Address, type Family, family, hostPrefix, type Prefix } from "#model/ip.ts";
import type { Labels } from "#model/labels.ts";
import { type Node, nodeAddress, routerAddress, tunnelAddress } from "#nodes/node.ts";
import type { ApiServer, NodeClaim, NodeLabelKey, NodeRoute } from "#nodes/table.ts";
import { startController } from "#store/controller.ts";
import type { Database, Table, WritableTable } from "#store/table.ts";

export type Routing = "tunnel" | "native";

export interface NodeControllerDeps {
  readonly db: Database;
  readonly nodes: Table<Node>;
  readonly apiServers: Table<ApiServer>;
  /** Desired routes, written. */
  readonly routes: WritableTable<NodeRoute>;
  /** The ipcache's claims, written: key `<source> <prefix>`. */
  readonly claims: WritableTable<NodeClaim>;
  /** Labels that policies ask of nodes. */
  readonly labelKeys: Table<NodeLabelKey>;
  readonly identities: NodeIdentitySource;
  readonly routing: Routing;
  /** Families the node's datapath serves; what others have is left out. */
  readonly families: readonly Family[];
  readonly health: Health;
  readonly log: Logger;
}

/** Whom nodes and API servers are to policies. */
export interface NodeIdentitySource {
  /** The identities of other nodes, in their order. */
  assign(
    nodes: readonly { readonly labels: Labels; readonly apiServer: boolean }[],
    keys: ReadonlySet<string>,
  ): number[];
  /** Of this node. */
  setHost(self: { readonly labels: Labels; readonly apiServer: boolean }, keys: ReadonlySet<string>): void;
  /** API servers at addresses of no node. */
  setApiServers(prefixes: ReadonlySet<Prefix>): void;
}

/** Nodes → routes to their pods, and what the ipcache says of node addresses. */
export function startNodeController(deps: NodeControllerDeps, signal: AbortSignal): AsyncDisposable {
  const { db, nodes, apiServers, routes, claims, labelKeys, health, log } = deps;
  let oldRoutes = new Set<string>();
  let oldClaims = new Set<string>();
  return startController({
    name: "nodes",
    inputs: { nodes, apiServers, labelKeys },
    outputs: [routes.source("nodes"), claims.source("nodes")],
    signal,
    health,
    log,
    run() {
      const all = [...nodes.all()];
      const keys = new Set([...labelKeys.all()].map(({ key }) => key));
      const servers = apiServersOf(all, [...apiServers.all()]);
      const identityOf = identifyNodes(all, servers, { keys, identities: deps.identities });
      const wanted = desired(all, identityOf, deps);
      db.write((tx) => {
        const newRoutes = new Set(wanted.routes.map((row) => routes.keyOf(row)));
        const newClaims = new Set(wanted.claims.map((row) => claims.keyOf(row)));
        for (const key of oldRoutes) if (!newRoutes.has(key)) tx.delete(routes, key);
        for (const key of oldClaims) if (!newClaims.has(key)) tx.delete(claims, key);
        for (const row of wanted.routes) tx.put(routes, row);
        for (const row of wanted.claims) tx.put(claims, row);
        oldRoutes = newRoutes;
        oldClaims = newClaims;
      });
      return `${all.length} node(s), ${wanted.routes.length} route(s)`;
    },
  });
}

/** Which nodes API servers answer at, and the addresses of those that are at none. */
export function apiServersOf(
  nodes: readonly Node[],
  apiServers: readonly ApiServer[],
): { readonly nodes: ReadonlySet<string>; readonly outside: ReadonlySet<Prefix> } {
  const found = new Set<string>();
  const outside = new Set<Prefix>();
  for (const { address } of apiServers) {
    const node = nodes.find(({ addresses }) => addresses.includes(address));
    if (node) found.add(node.name);
    else outside.add(hostPrefix(address));
  }
  return { nodes: found, outside };
}

/** Tells who nodes and API servers are; returns the identity of each other node. */
export function identifyNodes(
  nodes: readonly Node[],
  apiServers: ReturnType<typeof apiServersOf>,
  to: { readonly keys: ReadonlySet<string>; readonly identities: NodeIdentitySource },
): (other: Node) => number {
  const factsOf = ({ name, labels }: Node) => ({ labels, apiServer: apiServers.nodes.has(name) });
  const others = nodes.filter((node) => !node.self);
  const ids = to.identities.assign(others.map(factsOf), to.keys);
  const self = nodes.find((node) => node.self);
  if (self) to.identities.setHost(factsOf(self), to.keys);
  to.identities.setApiServers(apiServers.outside);
  const byName = new Map(others.map(({ name }, at) => [name, ids[at]!]));
  return ({ name }) => byName.get(name)!;
}

/**
 * Routes and claims for a set of nodes, pure. A node without pod CIDR has no route yet, one without an address we can
 * reach none at all. Where two nodes speak of the same prefix (one is being replaced by the other), our own wins, else
 * the first by name.
 */
export function desired(
  nodes: readonly Node[],
  identityOf: (other: Node) => number,
  options: { readonly routing: Routing; readonly families: readonly Family[] },
): { routes: NodeRoute[]; claims: NodeClaim[] } {
  const routes = new Map<Prefix, NodeRoute>();
  const claims = new Map<string, NodeClaim>();
  const serves = (value: Address | Prefix) => options.families.includes(family(value));
  const claim = (row: NodeClaim) => {
    const key = `${row.source} ${row.prefix}`;
    if (!claims.has(key)) claims.set(key, row);
  };
  const self = nodes.find((node) => node.self);
  // An address of ours without a pod: without this it would go out by the default route, and perhaps come back.
  for (const dst of (self?.podCidrs ?? []).filter(serves))
    routes.set(dst, { dst, node: self!.name, unreachable: true });
  const own = self ? [...self.addresses, ...routers(self)] : [];
  for (const address of own)
    claim({ prefix: hostPrefix(address), identity: ReservedIdentity.host, source: "host" });
  for (const remote of nodes.filter((node) => !node.self).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const identity = identityOf(remote);
    for (const address of remote.addresses) claim({ prefix: hostPrefix(address), identity, source: "node" });
    const tunnel = self && options.routing === "tunnel" ? tunnelAddress(self, remote) : undefined;
    for (const address of routers(remote).filter(serves)) {
      claim({ prefix: hostPrefix(address), identity, ...(tunnel && { tunnel }), source: "node" });
    }
    for (const dst of remote.podCidrs) {
      const taken = routes.has(dst) || self?.podCidrs.includes(dst);
      const route = self && !taken && serves(dst) ? routeTo(self, remote, { dst, tunnel }) : undefined;
      if (route) routes.set(dst, route);
      // The way to a pod is known before the pod is: what a new one asks for is answered at once.
      if (route && tunnel)
        claim({ prefix: dst, identity: worldOf(dst, options.families), tunnel, source: "node" });
    }
  }
  return { routes: [...routes.values()], claims: [...claims.values()] };
}

/** Whom nobody has told of is a stranger; the datapath calls an address without entry the same. */
function worldOf(prefix: Prefix, families: readonly Family[]): number {
  if (families.length === 1) return ReservedIdentity.world;
  return family(prefix) === 4 ? ReservedIdentity.worldV4 : ReservedIdentity.worldV6;
}

function routers(node: Node): Address[] {
  return ([4, 6] as const).flatMap((of) => routerAddress(node, of) ?? []);
}

/** Native routing needs the other node as a neighbour of the pod CIDR's own family. */
function routeTo(
  self: Node,
  remote: Node,
  to: { readonly dst: Prefix; readonly tunnel: Address | undefined },
): NodeRoute | undefined {
  const { dst, tunnel } = to;
  const of = family(dst);
  if (tunnel) {
    const src = routerAddress(self, of);
    return {
      dst,
      node: remote.name,
      encap: { id: ReservedIdentity.remoteNode, dst: tunnel },
      ...(src && { src }),
    };
  }
  const gateway = nodeAddress(remote, of);
  return gateway && { dst, node: remote.name, gateway };
}
