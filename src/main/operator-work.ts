// SPDX-License-Identifier: Apache-2.0
import type { V1EndpointSlice, V1Node, V1Service } from "@kubernetes/client-node";
import { customResourceDefinitions } from "#api/crd/definitions.ts";
import type { CiliumEndpointObject } from "#endpoints/source.ts";
import type { KubeClient } from "#k8s/client.ts";
import { createEventRecorder } from "#k8s/events.ts";
import { reflect } from "#k8s/reflect.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { aborted } from "#lib/clock.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { type CiliumNodeObject, ciliumNodeRow } from "#nodes/cilium-node.ts";
import { toNode } from "#nodes/source.ts";
import { startCidrAssignment } from "#operator/assign-cidrs.ts";
import type { OperatorConfig } from "#operator/config.ts";
import { publishedEndpointRow } from "#operator/core-endpoint.ts";
import { installDefinitions } from "#operator/crds.ts";
import { followedServiceRow, splitServices } from "#operator/followed-services.ts";
import { startIdentityGc } from "#operator/identity-gc.ts";
import { startL2PolicyStatus, writtenL2Policy } from "#operator/l2-policies.ts";
import { LbIpam } from "#operator/lb-ipam.ts";
import { startLbIpam } from "#operator/lb-ipam-controller.ts";
import { lbPoolRow, type PoolObject } from "#operator/lb-ipam-pool.ts";
import { startOrphanGc } from "#operator/orphans.ts";
import { PodCidrs } from "#operator/pod-cidrs.ts";
import { startPolicyChecks } from "#operator/policy-check-writer.ts";
import { checkedEgressPolicy, checkedRedirectPolicy } from "#operator/policy-checks.ts";
import { startPolicyConditions } from "#operator/policy-status.ts";
import { startServiceProblems } from "#operator/service-problem-writer.ts";
import { removeSlices, startSliceWriter } from "#operator/slice-writer.ts";
import { type SliceObject, sliceRow } from "#operator/slices.ts";
import {
  type IdentityObject,
  kubeNodeRow,
  type OperatorTables,
  operatorTables,
  usedIdentityRow,
} from "#operator/tables.ts";
import { toEndpointSlice } from "#services/source.ts";

/** EndpointSlices that can be wrong: those that people write. */
const notMadeOfPods = "endpointslice.kubernetes.io/managed-by!=endpointslice-controller.k8s.io";

export interface GcTimes {
  /** How long an identity nobody uses is kept, and its number is not used again. */
  readonly identityGraceMs: number;
  /** Between two looks at identities, and at endpoints and nodes whose pod or Node is gone. */
  readonly identitySweepMs: number;
  readonly orphanSweepMs: number;
}

const gcTimes: GcTimes = { identityGraceMs: 15 * 60_000, identitySweepMs: 60_000, orphanSweepMs: 60_000 };

export interface WorkDeps {
  readonly config: OperatorConfig;
  readonly client: KubeClient;
  readonly health: Health;
  readonly log: Logger;
  /** Gets what metrics show. */
  readonly state?: { lbIpam: LbIpam | undefined };
  readonly gc?: Partial<GcTimes>;
}

/** Cilium before 1.18 serves its pools in an older version alone: a cluster that comes from it has everything else meanwhile. */
const optional = new Set(["ciliumloadbalancerippools.cilium.io", "ciliuml2announcementpolicies.cilium.io"]);

/** What the leader does until the signal aborts, in the order it needs: kinds, then what is read of them, then what is made of that. */
export async function leaderWork(deps: WorkDeps, signal: AbortSignal, ready: () => void): Promise<void> {
  const { config, client, health, log } = deps;
  await installDefinitions({ client, definitions: customResourceDefinitions, optional, log, signal });
  const tables = operatorTables();
  const common = { client, tables, health, log, signal };
  await using stack = new AsyncDisposableStack();
  if (config.ipam === "cluster-pool") {
    const podCidrs = new PodCidrs(config.clusterPool);
    const events = createEventRecorder(client, log, { controller: "weft.io/operator", action: "Assign" });
    stack.use(startCidrAssignment({ ...common, ciliumNodes: tables.ciliumNodes, podCidrs, events }));
  }
  const { identityGraceMs: graceMs, identitySweepMs: sweepMs, orphanSweepMs } = { ...gcTimes, ...deps.gc };
  stack.use(startIdentityGc({ ...common, graceMs, sweepMs }));
  stack.use(startOrphanGc({ ...common, sweepMs: orphanSweepMs }));
  if (config.lbIpam.enabled) {
    const events = createEventRecorder(client, log, { controller: "weft.io/operator", action: "Assign" });
    const ipam = new LbIpam();
    stack.use(startLbIpam({ ...common, events, ipam }));
    const { state = { lbIpam: undefined } } = deps;
    state.lbIpam = ipam;
    stack.defer(() => {
      state.lbIpam = undefined;
    });
  }
  const serviceEvents = createEventRecorder(client, log, { controller: "weft.io/operator", action: "Serve" });
  stack.use(startServiceProblems({ ...common, events: serviceEvents }));
  const events = createEventRecorder(client, log, { controller: "weft.io/operator", action: "Check" });
  const { enabled } = config.l2Announcements;
  stack.use(startL2PolicyStatus({ ...common, policies: tables.l2Policies, enabled, events }));
  const { checkedPolicies: policies, gatewayNodes: nodes } = tables;
  stack.use(startPolicyChecks({ ...common, policies, nodes, events }));
  if (config.endpointSlices) stack.use(startSliceWriter(common));
  else await removeSlices(client, log, signal);
  stack.use(startPolicyConditions({ client, db: tables.db, health, log, signal }));
  stack.use(follow(deps, tables, signal));
  const read = [tables.kubeNodes, tables.ciliumNodes, tables.identities, tables.endpoints];
  await Promise.race([Promise.all(read.map((table) => table.ready)), aborted(signal)]);
  if (!signal.aborted) ready();
  await aborted(signal);
}

/** Kubernetes objects → tables. */
function follow(deps: WorkDeps, tables: OperatorTables, signal: AbortSignal): AsyncDisposable {
  const { client, health, log, config } = deps;
  const common = { client, db: tables.db, health, log, signal };
  const stack = new AsyncDisposableStack();
  stack.use(reflect({ ...common, resource: resources.nodes, table: tables.kubeNodes, toRow: kubeNodeRow }));
  stack.use(
    reflect({
      ...common,
      resource: resources.ciliumNodes,
      table: tables.ciliumNodes,
      toRow: (object: CiliumNodeObject) => ciliumNodeRow(object),
    }),
  );
  stack.use(
    reflect({
      ...common,
      resource: resources.ciliumIdentities,
      table: tables.identities,
      toRow: (object: IdentityObject) => usedIdentityRow(object),
    }),
  );
  stack.use(
    reflect({
      ...common,
      resource: resources.ciliumEndpoints,
      table: tables.endpoints,
      toRow: (object: CiliumEndpointObject) => publishedEndpointRow(object),
    }),
  );
  stack.use(
    reflect({
      ...common,
      resource: resources.ciliumL2AnnouncementPolicies,
      table: tables.l2Policies,
      toRow: writtenL2Policy,
    }),
  );
  stack.use(followChecked(deps, tables, signal));
  if (config.lbIpam.enabled) stack.use(followPools(deps, tables, signal));
  stack.use(splitServices(tables.db, tables.services, tables));
  stack.use(
    reflect({
      ...common,
      resource: resources.services,
      table: tables.services,
      toRow: (object: V1Service & KubeObject) => followedServiceRow(object, config.lbIpam),
    }),
  );
  stack.use(
    reflect({
      ...common,
      resource: resources.endpointSlices,
      labelSelector: notMadeOfPods,
      table: tables.foreignSlices,
      toRow: (object: V1EndpointSlice & KubeObject) => toEndpointSlice(object),
    }),
  );
  if (config.endpointSlices) {
    stack.use(
      reflect({
        ...common,
        resource: resources.ciliumEndpointSlices,
        table: tables.slices,
        toRow: (object: SliceObject) => sliceRow(object),
      }),
    );
  }
  return stack;
}

/** Policies that agents alone go by, and the nodes some of them choose. */
function followChecked(deps: WorkDeps, tables: OperatorTables, signal: AbortSignal): AsyncDisposable {
  const { client, health, log } = deps;
  const common = { client, db: tables.db, health, log, signal };
  const stack = new AsyncDisposableStack();
  stack.use(
    reflect({
      ...common,
      resource: resources.nodes,
      source: "gateway-nodes",
      table: tables.gatewayNodes,
      toRow: (object: V1Node & KubeObject) => toNode(object, ""),
    }),
  );
  stack.use(
    reflect({
      ...common,
      resource: resources.ciliumEgressGatewayPolicies,
      table: tables.checkedPolicies,
      toRow: checkedEgressPolicy,
    }),
  );
  stack.use(
    reflect({
      ...common,
      resource: resources.ciliumLocalRedirectPolicies,
      table: tables.checkedPolicies,
      toRow: checkedRedirectPolicy,
    }),
  );
  return stack;
}

function followPools(deps: WorkDeps, tables: OperatorTables, signal: AbortSignal): AsyncDisposable {
  const { client, health, log } = deps;
  return reflect({
    client,
    db: tables.db,
    health,
    log,
    signal,
    resource: resources.ciliumLoadBalancerIpPools,
    table: tables.lbPools,
    toRow: (object: PoolObject) => lbPoolRow(object),
  });
}
