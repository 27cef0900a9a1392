// SPDX-License-Identifier: Apache-2.0
import { linkPods } from "#datapath/pod-links.ts";
import { startEndpointClaims } from "#endpoints/claims.ts";
import { startEndpointController } from "#endpoints/controller.ts";
import { startHostEndpoint } from "#endpoints/host.ts";
import { startEndpointReconciler } from "#endpoints/ops.ts";
import { startPodLinks } from "#endpoints/pod-links.ts";
import { startPublisher } from "#endpoints/publish.ts";
import type { Known } from "#identities/known.ts";
import type { PolicyReconciler } from "#policy/ops.ts";
import type { ControlContext } from "./control-context.ts";

interface Judged {
  readonly known: Known;
  readonly policyReconciler: PolicyReconciler;
}

/** This node's pods, and the node itself, with their policies → kernel, CiliumEndpoints. */
export function startEndpoints(deps: ControlContext, judged: Judged, signal: AbortSignal) {
  const { tables, maps, common, nodeDatapath } = deps;
  const stack = new AsyncDisposableStack();
  stack.use(startDesired(deps, judged));
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
  stack.use(
    startPodLinks({
      ...common,
      endpoints: tables.datapathEndpoints,
      link: (ifindexes, until) => linkPods(nodeDatapath.target, ifindexes, { signal: until }),
      signal,
    }),
  );
  return { reconciler: endpointReconciler, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** What each of them should have in the kernel, as its policies come into force there, and who has its address. */
function startDesired(deps: ControlContext, { known, policyReconciler }: Judged): AsyncDisposable {
  const { config, tables, maps, db, node } = deps;
  const { endpoints, endpointPolicies } = tables;
  const stack = new AsyncDisposableStack();
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
      tellsNodes: config.routing === "tunnel" || config.services.dsrDispatch === "geneve",
      ownAddresses: () => node.addresses,
    }),
  );
  return stack;
}
