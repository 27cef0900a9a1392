// SPDX-License-Identifier: Apache-2.0
import { startMasqueradeSource } from "#egress/masquerade-source.ts";
import { startEgressSource } from "#egress/policy-source.ts";
import { reflect } from "#k8s/reflect.ts";
import { resources } from "#k8s/resource.ts";
import { startNodePublisher } from "#nodes/publish.ts";
import { bootId } from "#nodes/self.ts";
import { startNodeSource } from "#nodes/source.ts";
import { redirectPolicyRow } from "#services/redirect-policy.ts";
import { startServiceSource } from "#services/source.ts";
import type { ControlDeps } from "./control-context.ts";
import { startPodSources } from "./sources-pods.ts";
import { startPolicySources } from "./sources-policies.ts";

/** Kubernetes objects → intent tables. */
export function startSources(deps: ControlDeps, signal: AbortSignal): AsyncDisposable {
  const { tables, client, health, log } = deps;
  const common = { client, db: tables.db, health, log };
  const each = { ...common, signal };
  const stack = new AsyncDisposableStack();
  stack.use(startNodeSources(deps, signal));
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
  stack.use(startPolicySources(deps, signal));
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
  stack.use(startPodSources(deps, signal));
  return stack;
}

/** The cluster's nodes, and this one as the others see it. */
function startNodeSources(deps: ControlDeps, signal: AbortSignal): AsyncDisposable {
  const { config, node, tables, client, health, log } = deps;
  const { db, nodes, ciliumNodes } = tables;
  const common = { client, db, health, log, nodes, ciliumNodes, ipam: config.ipam };
  const stack = new AsyncDisposableStack();
  stack.use(
    startNodeSource(
      { ...common, kubeNodes: tables.kubeNodes, apiServers: tables.apiServers, nodeName: node.name },
      signal,
    ),
  );
  stack.use(startNodePublisher({ ...common, self: node, bootId: bootId(), signal }));
  return stack;
}
