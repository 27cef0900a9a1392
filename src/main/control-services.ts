// SPDX-License-Identifier: Apache-2.0
import { startServiceController } from "#services/controller.ts";
import { follows } from "#services/follows.ts";
import { startHostPorts } from "#services/host-ports.ts";
import { serviceMaps, serviceSocks } from "#services/maps.ts";
import { idsBeforeNow, startServiceReconciler } from "#services/ops.ts";
import { startRedirects } from "#services/redirects.ts";
import { startStaleSockets } from "#services/stale-sockets.ts";
import type { ControlContext } from "./control-context.ts";

/** Services, their endpoints, hostPorts → frontends → kernel. */
export function startServices(
  { config, tables, nodeDatapath: { datapath }, common, families, node }: ControlContext,
  signal: AbortSignal,
) {
  const stack = new AsyncDisposableStack();
  const { algorithm, forwardingMode: forwarding, tableSize } = config.services;
  const { services, endpointSlices, nodes, hostPorts, redirects, healthChecks, frontends, frontendIds } =
    tables;
  stack.use(startHostPorts({ ...common, pods: tables.pods, endpoints: tables.endpoints, hostPorts }, signal));
  const local = { pods: tables.pods, endpoints: tables.endpoints, policies: tables.redirectPolicies };
  stack.use(startRedirects({ ...common, ...local, services, redirects, nodeName: node.name }, signal));
  const intents = { services, endpointSlices, nodes, hostPorts, redirects };
  stack.use(
    startServiceController(
      { ...common, ...intents, frontends, healthChecks, families, algorithm, forwarding },
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
        nodes: tables.nodes,
        reconciler: serviceReconciler,
        socks: serviceSocks((name) => datapath.map(name)),
        namespaces: () => [...tables.endpoints.all()].map(({ netns }) => netns),
      },
      signal,
    ),
  );
  return {
    stages: [{ table: frontends, reconciler: serviceReconciler }],
    /** Whether the load balancer's maps keep up with the cluster. */
    follow: follows(frontends, serviceReconciler, { signal }),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
