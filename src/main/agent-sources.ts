// SPDX-License-Identifier: Apache-2.0
import { startMasqueradeSource } from "#egress/masquerade-source.ts";
import { startEgressSource } from "#egress/policy-source.ts";
import { type EndpointSliceObject, joinSlices, slicedEndpointRows } from "#endpoints/slices.ts";
import {
  type CiliumEndpointObject,
  clusterEndpointRow,
  type NamespaceObject,
  namespaceRow,
  type PodObject,
  podRow,
} from "#endpoints/source.ts";
import { type CiliumIdentityObject, identityRow } from "#identities/source.ts";
import { reflect } from "#k8s/reflect.ts";
import { resources } from "#k8s/resource.ts";
import { startNodePublisher } from "#nodes/publish.ts";
import { bootId } from "#nodes/self.ts";
import { startNodeSource } from "#nodes/source.ts";
import { startPolicySource } from "#policy/source.ts";
import { startNodePolicyStatus, statusPace } from "#policy/tell-node-status.ts";
import { redirectPolicyRow } from "#services/redirect-policy.ts";
import { startServiceSource } from "#services/source.ts";
import type { ControlDeps } from "./control-context.ts";

/** Kubernetes objects → intent tables. */
export function startSources(deps: ControlDeps, signal: AbortSignal): AsyncDisposable {
  const { tables, client, health, log } = deps;
  const { db } = tables;
  const common = { client, db, health, log };
  const stack = new AsyncDisposableStack();
  stack.use(
    startNodeSource(
      {
        ...common,
        kubeNodes: tables.kubeNodes,
        ciliumNodes: tables.ciliumNodes,
        nodes: tables.nodes,
        apiServers: tables.apiServers,
        nodeName: deps.node.name,
        ipam: deps.config.ipam,
      },
      signal,
    ),
  );
  stack.use(
    startNodePublisher({
      ...common,
      self: deps.node,
      nodes: tables.nodes,
      ciliumNodes: tables.ciliumNodes,
      bootId: bootId(),
      ipam: deps.config.ipam,
      signal,
    }),
  );
  stack.use(
    startServiceSource(
      {
        ...common,
        services: tables.services,
        endpointSlices: tables.endpointSlices,
        proxyName: deps.config.services.proxyName,
      },
      signal,
    ),
  );
  stack.use(
    startPolicySource(
      {
        ...common,
        written: tables.writtenPolicies,
        cidrGroups: tables.cidrGroups,
        policies: tables.policies,
        refusals: tables.policyRefusals,
        nodeName: deps.node.name,
        turnMs: () => turnMs(tables.nodes.all(), deps.node.name),
        keepsLabel: deps.keepsLabel,
        hostFirewall: deps.config.hostFirewall.enabled,
      },
      signal,
    ),
  );
  stack.use(
    startNodePolicyStatus(
      {
        client,
        health,
        log,
        costs: tables.policyCosts,
        refusals: tables.policyRefusals,
        endpointPolicies: tables.endpointPolicies,
        policyMaps: tables.policyMaps,
        node: () => nodeNow(deps),
        pace: statusPace(() => tables.nodes.all(), deps.node.name),
      },
      signal,
    ),
  );
  const each = { ...common, signal };
  const namespace = process.env.POD_NAMESPACE ?? "kube-system";
  stack.use(startMasqueradeSource({ ...each, exempt: tables.masqueradeExempt, namespace }));
  stack.use(
    reflect({
      ...each,
      resource: resources.ciliumLocalRedirectPolicies,
      table: tables.redirectPolicies,
      toRow: redirectPolicyRow,
    }),
  );
  stack.use(startEgressSource({ ...each, policies: tables.egressPolicies }));
  stack.use(
    reflect({
      ...each,
      resource: resources.namespaces,
      table: tables.namespaces,
      toRow: (o: NamespaceObject) => namespaceRow(o),
    }),
  );
  stack.use(
    reflect({
      ...each,
      resource: resources.ciliumIdentities,
      table: tables.identities,
      toRow: (o: CiliumIdentityObject) => identityRow(o),
    }),
  );
  stack.use(
    reflect({
      ...each,
      resource: resources.pods,
      fieldSelector: `spec.nodeName=${deps.node.name}`,
      table: tables.pods,
      toRow: (o: PodObject) => podRow(o),
    }),
  );
  stack.use(followClusterEndpoints(deps, signal));
  return stack;
}

/** The pods of all nodes: as their agents published them, or as the operator put them together. */
function followClusterEndpoints(deps: ControlDeps, signal: AbortSignal): AsyncDisposable {
  const { config, tables, client, health, log } = deps;
  const { db, slicedEndpoints, identities, clusterEndpoints } = tables;
  const common = { client, db, health, log, signal };
  if (!config.endpointSlices) {
    return reflect({
      ...common,
      resource: resources.ciliumEndpoints,
      table: clusterEndpoints,
      toRow: (object: CiliumEndpointObject) => clusterEndpointRow(object),
    });
  }
  const stack = new AsyncDisposableStack();
  stack.use(joinSlices({ db, sliced: slicedEndpoints, identities, clusterEndpoints }));
  stack.use(
    reflect({
      ...common,
      resource: resources.ciliumEndpointSlices,
      table: slicedEndpoints,
      toRow: (object: EndpointSliceObject) => slicedEndpointRows(object),
    }),
  );
  return stack;
}

/** This node with the uid of its Node, once that is known. */
function nodeNow({ tables, node: { name, uid: first } }: ControlDeps): {
  readonly name: string;
  readonly uid?: string;
} {
  const uid = tables.nodes.get(name)?.uid ?? first;
  return { name, ...(uid !== undefined && { uid }) };
}

/** Nodes speak in the order of their names: 50 ms is time enough for what the one before said to come by the watch. */
function turnMs(nodes: Iterable<{ readonly name: string }>, own: string): number {
  let before = 0;
  for (const { name } of nodes) if (name < own) before++;
  return Math.min(before * 50, 10_000);
}
