// SPDX-License-Identifier: Apache-2.0
import type { AgentPaths } from "#agent/paths.ts";
import { attachPod } from "#datapath/attach.ts";
import { EndpointManager } from "#endpoints/manager.ts";
import { type NamespaceObject, namespaceRow, type PodObject, podRow } from "#endpoints/source.ts";
import { EndpointState } from "#endpoints/state.ts";
import { allocateIdentity } from "#identities/allocate.ts";
import type { LabelFilter } from "#identities/label-filter.ts";
import { securityLabels } from "#identities/security-labels.ts";
import { apiIdentityStore } from "#identities/source.ts";
import type { KubeClient, ObjectRef } from "#k8s/client.ts";
import { isNotFound } from "#k8s/errors.ts";
import { type KubeObject, type Resource, resources } from "#k8s/resource.ts";
import type { Netlink } from "#kernel/netlink/handle.ts";
import { getLink } from "#kernel/netlink/link.ts";
import type { Logger } from "#lib/log.ts";
import type { NodeDatapath } from "./agent-datapath.ts";
import type { AgentTables } from "./agent-tables.ts";

export interface EndpointDeps {
  readonly tables: AgentTables;
  readonly client: KubeClient;
  readonly nodeDatapath: NodeDatapath;
  readonly netlink: Netlink;
  readonly paths: AgentPaths;
  readonly clusterName: string;
  readonly keepsLabel: LabelFilter;
  readonly log: Logger;
  settled(id: string, signal: AbortSignal): Promise<void>;
}

/** The endpoint manager with everything it reaches, and the endpoints of an earlier run taken up again. */
export function startEndpoints(deps: EndpointDeps): EndpointManager {
  const { tables, client, nodeDatapath, netlink, paths, log } = deps;
  const { target } = nodeDatapath;
  const identities = apiIdentityStore(client, tables.db, tables.identities);
  const source = tables.endpoints.source("disk");
  const manager = new EndpointManager({
    db: tables.db,
    endpoints: tables.endpoints,
    desired: tables.datapathEndpoints,
    pods: tables.pods,
    namespaces: tables.namespaces,
    state: new EndpointState(paths.endpoints, log),
    log,
    fetchPod: async (namespace, name, signal) => {
      const pod = await getOrNothing<PodObject>(client, resources.pods, { namespace, name }, signal);
      return pod && podRow(pod);
    },
    fetchNamespace: async (name, signal) => {
      const namespace = await getOrNothing<NamespaceObject>(client, resources.namespaces, { name }, signal);
      return namespace && namespaceRow(namespace);
    },
    securityLabels: (pod, namespace) =>
      securityLabels(
        {
          namespace: pod.namespace,
          labels: pod.labels,
          namespaceLabels: namespace.labels,
          serviceAccount: pod.serviceAccount,
          cluster: deps.clusterName,
        },
        deps.keepsLabel,
      ),
    identities: tables.identities,
    identityOf: (labels, signal, prefer) => allocateIdentity(identities, labels, { signal, prefer }),
    attach: (endpoint) => attachPod(target, { ifindex: endpoint.hostIfindex }),
    settled: deps.settled,
  });
  manager.restore((endpoint) => getLink(netlink, endpoint.hostIfname)?.index === endpoint.hostIfindex);
  source.synced();
  return manager;
}

async function getOrNothing<T extends KubeObject>(
  client: KubeClient,
  resource: Resource,
  ref: ObjectRef,
  signal: AbortSignal,
): Promise<T | undefined> {
  try {
    return await client.get<T>(resource, ref, signal);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
