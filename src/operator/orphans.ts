// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { isConflict, isNotFound } from "#k8s/errors.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { pause } from "#lib/clock.ts";
import type { Health } from "#lib/health.ts";
import { startJob } from "#lib/jobs.ts";
import type { Logger } from "#lib/log.ts";
import type { CiliumNode } from "#nodes/cilium-node.ts";
import { startWorkQueue } from "#store/work-queue.ts";
import type { PublishedEndpoint } from "./core-endpoint.ts";
import type { KubeNode, OperatorTables } from "./tables.ts";

/**
 * Endpoints that Kubernetes' own garbage collector may not take away when their pod goes: without a pod as owner, or of a node that
 * is no more. Pure.
 */
export function doubtful(
  endpoints: Iterable<PublishedEndpoint>,
  isNodeAddress: (address: string) => boolean,
): Set<string> {
  const keys = new Set<string>();
  for (const { namespace, name, networking, "pod-uid": podUid } of endpoints) {
    if (podUid === undefined || !isNodeAddress(networking.node ?? "")) keys.add(`${namespace}/${name}`);
  }
  return keys;
}

/** CiliumNodes without a Node. Pure. */
function ownerless(
  ciliumNodes: Iterable<CiliumNode>,
  kubeNodes: { get(name: string): KubeNode | undefined },
): Set<string> {
  return new Set([...ciliumNodes].map(({ name }) => name).filter((name) => !kubeNodes.get(name)));
}

export interface OrphanDeps {
  readonly client: KubeClient;
  readonly tables: OperatorTables;
  readonly sweepMs: number;
  readonly health: Health;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/**
 * Removes CiliumEndpoints whose pod is gone and CiliumNodes whose Node is. Both belong to those objects, and the cluster's garbage collector
 * removes most; this finds the rest. What two sweeps in a row found is looked at; a pod is asked for before its endpoint goes.
 */
export function startOrphanGc(deps: OrphanDeps): AsyncDisposable {
  const { client, tables, sweepMs, health, log, signal } = deps;
  const { kubeNodes, ciliumNodes, endpoints } = tables;
  const stack = new AsyncDisposableStack();
  const common = { rate: { perSec: 20, burst: 50 }, health, log, signal };
  const endpointQueue = stack.use(
    startWorkQueue({
      ...common,
      name: "endpoint-gc/write",
      async work(key, until) {
        const endpoint = endpoints.get(key);
        if (!endpoint || (await podLives(client, endpoint, until))) return;
        const { namespace, name, uid } = endpoint;
        await removeQuietly(
          client.delete(resources.ciliumEndpoints, { namespace, name }, { uid, signal: until }),
        );
        log.info({ endpoint: key }, "endpoint removed: its pod is gone");
      },
    }),
  );
  const nodeQueue = stack.use(
    startWorkQueue({
      ...common,
      name: "node-gc/write",
      async work(name, until) {
        const node = ciliumNodes.get(name);
        if (!node || kubeNodes.get(name)) return;
        await removeQuietly(client.delete(resources.ciliumNodes, { name }, { uid: node.uid, signal: until }));
        log.info({ node: name, podCidrs: node.podCidrs }, "CiliumNode removed: its Node is gone");
      },
    }),
  );
  const isNodeAddress = (address: string) => !kubeNodes.by("address", address)[Symbol.iterator]().next().done;
  stack.use(
    startJob({
      name: "orphan-gc",
      signal,
      health,
      log,
      async run(until, ok) {
        await Promise.all([kubeNodes.ready, ciliumNodes.ready, endpoints.ready]);
        let before = { endpoints: new Set<string>(), nodes: new Set<string>() };
        while (!until.aborted) {
          const now = {
            endpoints: doubtful(endpoints.all(), isNodeAddress),
            nodes: ownerless(ciliumNodes.all(), kubeNodes),
          };
          for (const key of now.endpoints) if (before.endpoints.has(key)) endpointQueue.add(key);
          for (const name of now.nodes) if (before.nodes.has(name)) nodeQueue.add(name);
          before = now;
          ok(`${now.endpoints.size} endpoint(s) and ${now.nodes.size} node(s) in doubt`);
          await pause(sweepMs, until);
        }
      },
    }),
  );
  return stack;
}

/** Whether the pod is there, and is the one the endpoint was made for. */
async function podLives(
  client: KubeClient,
  { namespace, name, "pod-uid": podUid }: PublishedEndpoint,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const pod = await client.get<KubeObject & { metadata: { uid: string } }>(
      resources.pods,
      { namespace, name },
      signal,
    );
    return podUid === undefined || pod.metadata.uid === podUid;
  } catch (thrown) {
    if (isNotFound(thrown)) return false;
    throw thrown;
  }
}

/** Gone already, or another by now: both are as it should be. */
async function removeQuietly(removal: Promise<void>): Promise<void> {
  try {
    await removal;
  } catch (thrown) {
    if (!isNotFound(thrown) && !isConflict(thrown)) throw thrown;
  }
}
