// SPDX-License-Identifier: Apache-2.0
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
import type { ControlDeps } from "./control-context.ts";

/** Namespaces, identities, this node's pods and all nodes' → their tables. */
export function startPodSources(deps: ControlDeps, signal: AbortSignal): AsyncDisposable {
  const { tables, client, health, log } = deps;
  const common = { client, db: tables.db, health, log, signal };
  const stack = new AsyncDisposableStack();
  stack.use(
    reflect({
      ...common,
      resource: resources.namespaces,
      table: tables.namespaces,
      toRow: (o: NamespaceObject) => namespaceRow(o),
    }),
  );
  stack.use(
    reflect({
      ...common,
      resource: resources.ciliumIdentities,
      table: tables.identities,
      toRow: (o: CiliumIdentityObject) => identityRow(o),
    }),
  );
  stack.use(
    reflect({
      ...common,
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
