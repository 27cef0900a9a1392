// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "#agent/config.ts";
import { tunnelDevice } from "#datapath/devices.ts";
import { datapathMaps } from "#datapath/maps.ts";
import { startEndpointClaims } from "#endpoints/claims.ts";
import { startEndpointController } from "#endpoints/controller.ts";
import { startHostEndpoint } from "#endpoints/host.ts";
import { startEndpointReconciler } from "#endpoints/ops.ts";
import { startPublisher } from "#endpoints/publish.ts";
import { BlockIdentities } from "#identities/blocks.ts";
import { CidrIdentities } from "#identities/cidr.ts";
import { startIpcacheController } from "#identities/ipcache.ts";
import { Known } from "#identities/known.ts";
import type { LabelFilter } from "#identities/label-filter.ts";
import { NodeIdentities } from "#identities/nodes.ts";
import { startBlockReconciler, startIpcacheReconciler } from "#identities/ops.ts";
import type { PrefixOrder } from "#identities/prefix-identities.ts";
import type { KubeClient } from "#k8s/client.ts";
import type { Netlink } from "#kernel/netlink/handle.ts";
import { pause } from "#lib/clock.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { isAddress, parseAddress } from "#model/ip.ts";
import { startNodeController } from "#nodes/controller.ts";
import type { Node } from "#nodes/node.ts";
import { startRouteReconciler } from "#nodes/ops.ts";
import { startPolicyController } from "#policy/controller.ts";
import { joinReferences } from "#policy/join-references.ts";
import { type NeverLockOut, neverLockOutRules } from "#policy/never-lock-out.ts";
import { followNodeLabels } from "#policy/node-labels.ts";
import { policyCapacity, startPolicyReconciler } from "#policy/ops.ts";
import { startServiceController } from "#services/controller.ts";
import { follows } from "#services/follows.ts";
import { startHostPorts } from "#services/host-ports.ts";
import { serviceMaps, serviceSocks } from "#services/maps.ts";
import { idsBeforeNow, startServiceReconciler } from "#services/ops.ts";
import { startStaleSockets } from "#services/stale-sockets.ts";
import type { Reconciler } from "#store/reconciler.ts";
import type { Table } from "#store/table.ts";
import { familiesOf, type NodeDatapath } from "./agent-datapath.ts";
import { startEgress } from "./agent-egress.ts";
import type { AgentTables } from "./agent-tables.ts";

export interface ControlDeps {
  readonly config: AgentConfig;
  readonly tables: AgentTables;
  readonly keepsLabel: LabelFilter;
  readonly client: KubeClient;
  readonly node: Node;
  readonly nodeDatapath: NodeDatapath;
  readonly netlink: Netlink;
  /** Where the agent reaches the API server. */
  readonly apiServer: URL;
  readonly health: Health;
  readonly log: Logger;
}

/** Intent tables → desired tables → kernel. `inKernel` resolves when the first complete state is there. */
export function startControl(deps: ControlDeps, signal: AbortSignal) {
  const { config, tables, health, log, nodeDatapath, node } = deps;
  const { db } = tables;
  const { datapath } = nodeDatapath;
  const maps = datapathMaps(datapath);
  const families = familiesOf(config);
  const common = { db, health, log };
  const stack = new AsyncDisposableStack();

  const known = stack.use(new Known(tables.identities));
  stack.use(
    startIpcacheController(db, tables.claims, tables.ipcache, {
      known,
      room: Math.floor(maps.ipcache.map.info.maxEntries * (1 - criticalShare)),
      health,
    }),
  );
  const ipcacheReconciler = stack.use(
    startIpcacheReconciler({ ...common, ipcache: tables.ipcache, map: maps.ipcache, signal }),
  );
  const blockReconciler = stack.use(
    startBlockReconciler({ ...common, blocks: tables.blocks, map: maps.blocks, signal }),
  );
  const cidrs = new CidrIdentities({
    db,
    identities: tables.identities,
    claims: tables.claims,
    dualStack: config.families === "dual",
    order: prefixOrder(known, ipcacheReconciler, signal),
  });
  const nodeIdentities = stack.use(new NodeIdentities({ db, identities: tables.identities }));
  stack.use(
    startNodeController(
      {
        ...common,
        nodes: tables.nodes,
        apiServers: tables.apiServers,
        labelKeys: tables.nodeLabelKeys,
        identities: {
          assign: (others, keys) => nodeIdentities.assign(others, keys),
          setHost: (self, keys) => nodeIdentities.setHost(self, keys),
          setApiServers: (prefixes) => cidrs.setApiServers(prefixes),
        },
        routes: tables.routes,
        claims: tables.claims,
        routing: config.routing,
        families,
      },
      signal,
    ),
  );
  const tunnel = config.routing === "tunnel" ? { tunnelDevice } : {};
  const routeReconciler = stack.use(
    startRouteReconciler({ ...common, routes: tables.routes, netlink: deps.netlink, ...tunnel }, signal),
  );

  const egress = stack.use(startEgress(deps, maps, signal));

  const { algorithm, tableSize } = config.services;
  const { services, endpointSlices, nodes, hostPorts, healthChecks, frontends, frontendIds } = tables;
  stack.use(startHostPorts({ ...common, pods: tables.pods, endpoints: tables.endpoints, hostPorts }, signal));
  stack.use(
    startServiceController(
      { ...common, services, endpointSlices, nodes, hostPorts, frontends, healthChecks, families, algorithm },
      signal,
    ),
  );
  const serviceReconciler = stack.use(
    startServiceReconciler(
      {
        ...common,
        frontends,
        frontendIds,
        maps: serviceMaps((name) => datapath.map(name)),
        lastId: idsBeforeNow(),
        tableSize,
      },
      signal,
    ),
  );

  stack.use(
    startStaleSockets(
      {
        ...common,
        frontends,
        frontendIds,
        pods: tables.clusterEndpoints,
        reconciler: serviceReconciler,
        socks: serviceSocks((name) => datapath.map(name)),
        namespaces: () => [...tables.endpoints.all()].map(({ netns }) => netns),
      },
      signal,
    ),
  );
  const blocks = new BlockIdentities({
    db,
    identities: tables.identities,
    blocks: tables.blocks,
    order: prefixOrder(known, blockReconciler, signal),
  });
  const { policies, endpoints, identities, policyMaps, endpointPolicies, policyRules } = tables;
  const { writtenPolicies: written, cidrGroups } = tables;
  const referenced = {
    cidrGroups,
    services,
    nodes: tables.kubeNodes,
    endpointSlices,
    pods: tables.clusterEndpoints,
  };
  stack.use(joinReferences({ db, written, ...referenced, policies }));
  stack.use(followNodeLabels({ db, policies, labelKeys: tables.nodeLabelKeys }));
  stack.use(
    startPolicyController(
      {
        ...common,
        policies,
        endpoints,
        identities,
        pods: tables.clusterEndpoints,
        policyMaps,
        endpointPolicies,
        policyRules,
        refusals: tables.policyRefusals,
        costs: tables.policyCosts,
        limits: {
          entries: policyCapacity,
          // The rest of the ipcache is for pods, nodes and whatever has an address.
          cidrs: Math.floor(maps.ipcache.map.info.maxEntries / 4),
          // One is for what no IPv4 block covers.
          blocks: maps.blocks.map.info.maxEntries - 1,
        },
        requirePrefixes: (prefixes) => {
          cidrs.require(prefixes.cidrs);
          blocks.require(prefixes.blocks);
        },
        clusterName: config.clusterName,
        resolved: () => known.resolved(policyReconciler.waitUntil(policyMaps.revision, signal)),
        hosts: tables.hosts,
        ...(config.hostFirewall.enabled && { neverLockOut: neverLockOutRules(neverLockOutOf(deps)) }),
        enforcement: config.policy.enforcement,
        ...(families.length === 1 && { onlyFamily: families[0]! }),
      },
      signal,
    ),
  );
  // What is given out only when the policies know it must be there before what the tables lack is taken out of the kernel.
  void policyMaps.ready
    .then(() => known.all())
    .then(() => {
      cidrs.synced();
      blocks.synced();
    });
  const policyReconciler = stack.use(
    startPolicyReconciler({ ...common, policyMaps, outer: datapath.map("policies") }, signal),
  );
  const endpointController = stack.use(
    startEndpointController({
      db,
      endpoints,
      policies: endpointPolicies,
      policyInForce: (id, revision) => policyReconciler.inForce(id, revision),
      known,
      desired: tables.datapathEndpoints,
      modes: { audit: config.policy.audit, anySource: !config.policy.verifySource },
    }),
  );
  const hostEndpoint = stack.use(
    startHostEndpoint({
      db,
      nodes: tables.nodes,
      hosts: tables.hosts,
      policies: endpointPolicies,
      policyInForce: (id, revision) => policyReconciler.inForce(id, revision),
      map: maps.hostEndpoint,
      audit: config.policy.audit,
      enabled: config.hostFirewall.enabled,
    }),
  );
  stack.defer(
    policyReconciler.status.onCommit(() => {
      endpointController.refresh();
      hostEndpoint.refresh();
    }),
  );
  stack.use(
    startEndpointClaims({
      db,
      endpoints,
      clusterEndpoints: tables.clusterEndpoints,
      claims: tables.claims,
      routing: config.routing,
      ownAddresses: () => node.addresses,
    }),
  );
  const endpointReconciler = stack.use(
    startEndpointReconciler({
      ...common,
      desired: tables.datapathEndpoints,
      maps: { byIfindex: maps.endpointsByIfindex, byAddress: maps.endpointsByAddress },
      signal,
    }),
  );
  stack.use(
    startPublisher({
      ...common,
      client: deps.client,
      endpoints: tables.datapathEndpoints,
      nodeAddress: nodeDatapath.underlay,
      signal,
    }),
  );
  const stages: readonly Stage[] = [
    { table: tables.ipcache, reconciler: ipcacheReconciler },
    { table: tables.blocks, reconciler: blockReconciler },
    { table: tables.routes, reconciler: routeReconciler },
    ...egress.stages,
    { table: frontends, reconciler: serviceReconciler },
    { table: policyMaps, reconciler: policyReconciler },
  ];
  return {
    maps,
    /** Resolves when the kernel holds an endpoint's row, and how it leaves the cluster. */
    async endpointSettled(id: string, until: AbortSignal) {
      await egress.settled(until);
      await endpointReconciler.settled(id, until);
    },
    /** Whether the load balancer's maps keep up with the cluster. */
    servicesFollow: follows(frontends, serviceReconciler, { signal }),
    inKernel: (until: AbortSignal) => Promise.all(stages.map((stage) => reached(stage, until))),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const inFlightMs = 20;

/** Of the ipcache, what no pod elsewhere and no CIDR takes: nodes, API servers and this node's own always fit. */
const criticalShare = 1 / 32;

/** Packets have a prefix's identity only while the policies in the kernel know it. */
function prefixOrder(known: Known, reconciler: Reconciler, signal: AbortSignal): PrefixOrder {
  return {
    whenKnown: (identity, then) => known.whenKnown(identity, then),
    async withdrawn(prefix) {
      await reconciler.settled(prefix, signal);
      // A packet that found the entry just before it went is judged within microseconds.
      await pause(inFlightMs, signal);
    },
  };
}

function neverLockOutOf({ config, apiServer }: ControlDeps): NeverLockOut {
  const { apiServer: open, ports, cidrs } = config.hostFirewall.neverLockOut;
  const { hostname, port } = apiServer;
  const host = hostname.replace(/^\[|\]$/g, "");
  return {
    ports,
    cidrs,
    ...(open && { apiServerPorts: [...new Set([port === "" ? 443 : Number(port), 6443])] }),
    ...(open && isAddress(host) && { apiServerAddress: parseAddress(host) }),
  };
}

interface Stage {
  readonly table: Table<unknown>;
  readonly reconciler: Reconciler;
}

/** Resolves when the kernel holds what the table had when it was first complete. */
async function reached({ table, reconciler }: Stage, signal: AbortSignal): Promise<void> {
  await table.ready;
  await reconciler.waitUntil(table.revision, signal);
}
