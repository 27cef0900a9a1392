// SPDX-License-Identifier: Apache-2.0
/** The policy half of an agent on the kernel's real maps, without an API server: what the agent starts, over tables that the bench fills. */
import { datapathMaps } from "#datapath/maps.ts";
import { startEndpointController } from "#endpoints/controller.ts";
import { startEndpointReconciler } from "#endpoints/ops.ts";
import { BlockIdentities } from "#identities/blocks.ts";
import { CidrIdentities } from "#identities/cidr.ts";
import { startIpcacheController } from "#identities/ipcache.ts";
import { Known } from "#identities/known.ts";
import { startBlockReconciler, startIpcacheReconciler } from "#identities/ops.ts";
import { loadCollection } from "#kernel/bpf/object.ts";
import { compiledSpec } from "#kit/bpf-object.ts";
import { createHealth } from "#lib/health.ts";
import { createLogger } from "#lib/log.ts";
import { startPolicyController } from "#policy/controller.ts";
import { startPolicyReconciler } from "#policy/ops.ts";
import type { Reconciler } from "#store/reconciler.ts";
import { agentTables } from "../../src/main/agent-tables.ts";

export function startPolicyNode(signal: AbortSignal) {
  const stack = new AsyncDisposableStack();
  const tables = agentTables();
  const { db } = tables;
  const common = { db, health: createHealth(), log: createLogger("bench", "warn"), signal };
  const collection = stack.use(
    loadCollection(compiledSpec("bpf/pod.bpf.c"), {
      maxEntries: { conntrack: 1024, lb_socks: 256 },
    }),
  );
  const map = (name: string) => collection.map(name);
  const maps = datapathMaps({ map } as Parameters<typeof datapathMaps>[0]);
  const known = stack.use(new Known(tables.identities));
  stack.use(startIpcacheController(db, tables.claims, tables.ipcache, { known }));
  const ipcache = stack.use(
    startIpcacheReconciler({ ...common, ipcache: tables.ipcache, map: maps.ipcache }),
  );
  const blockMap = stack.use(startBlockReconciler({ ...common, blocks: tables.blocks, map: maps.blocks }));
  const order = (reconciler: Reconciler) => ({
    whenKnown: (identity: number, then: () => void) => known.whenKnown(identity, then),
    withdrawn: (prefix: string) => reconciler.settled(prefix, signal),
  });
  const { identities: all, claims } = tables;
  const cidrs = new CidrIdentities({ db, identities: all, claims, dualStack: false, order: order(ipcache) });
  const blocks = new BlockIdentities({ db, identities: all, blocks: tables.blocks, order: order(blockMap) });
  const { policies, endpoints, identities, policyMaps, endpointPolicies, policyRules } = tables;
  tables.hosts.source("bench").synced();
  stack.use(
    startPolicyController(
      {
        ...common,
        policies,
        endpoints,
        hosts: tables.hosts,
        identities,
        pods: tables.clusterEndpoints,
        policyMaps,
        endpointPolicies,
        policyRules,
        requirePrefixes: (prefixes) => {
          cidrs.require(prefixes.cidrs);
          blocks.require(prefixes.blocks);
        },
        resolved: () => known.resolved(policyReconciler.waitUntil(policyMaps.revision, signal)),
        enforcement: "default",
      },
      signal,
    ),
  );
  const policyReconciler = stack.use(
    startPolicyReconciler({ ...common, policyMaps, outer: map("policies") }, signal),
  );
  const endpointController = stack.use(
    startEndpointController({
      db,
      endpoints,
      policies: endpointPolicies,
      modes: { audit: false, anySource: false },
      policyInForce: (id, revision) => policyReconciler.inForce(id, revision),
      known,
      desired: tables.datapathEndpoints,
    }),
  );
  stack.defer(policyReconciler.status.onCommit(() => endpointController.refresh()));
  const endpointMaps = stack.use(
    startEndpointReconciler({
      ...common,
      desired: tables.datapathEndpoints,
      maps: { byIfindex: maps.endpointsByIfindex, byAddress: maps.endpointsByAddress },
    }),
  );
  for (const table of [policies, endpoints, identities, tables.clusterEndpoints, tables.claims])
    table.source("bench").synced();
  cidrs.synced();
  blocks.synced();
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  return {
    tables,
    db,
    outer: map("policies"),
    /** Resolves when the kernel holds all that follows from what the tables hold. */
    async settled(): Promise<void> {
      for (let quiet = 0; quiet < 4; quiet++) {
        const before = revisions(tables);
        await turn();
        await policyReconciler.waitUntil(policyMaps.revision, signal);
        await endpointMaps.waitUntil(tables.datapathEndpoints.revision, signal);
        await ipcache.waitUntil(tables.ipcache.revision, signal);
        await blockMap.waitUntil(tables.blocks.revision, signal);
        await known.all();
        if (revisions(tables) !== before) quiet = 0;
      }
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function revisions({
  policyMaps,
  datapathEndpoints,
  ipcache,
  blocks,
  endpointPolicies,
}: ReturnType<typeof agentTables>): string {
  return [policyMaps, datapathEndpoints, ipcache, blocks, endpointPolicies]
    .map((table) => table.revision)
    .join();
}

export type PolicyNode = ReturnType<typeof startPolicyNode>;
