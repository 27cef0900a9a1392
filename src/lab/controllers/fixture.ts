// SPDX-License-Identifier: Apache-2.0
// What the controllers' tests share: a cluster on a real store, and nodes that run whatever is bound to them.
import { createLogger } from "#lib/log.ts";
import { behaviours } from "../apiserver/behaviours.ts";
import { builtinResources } from "../apiserver/kinds.ts";
import { Catalog } from "../apiserver/resource.ts";
import { reviews } from "../apiserver/reviews.ts";
import { Store } from "../apiserver/store.ts";
import { type Cluster, type Kind, kinds } from "../cluster.ts";
import type { KubeObject, Pod } from "../objects.ts";
import { storeCluster } from "../store-cluster.ts";
import { startControllers } from "./start.ts";

export interface TestCluster extends Disposable {
  readonly cluster: Cluster;
  /** Resolves when the condition holds; rejects after 5 s. */
  until(what: string, condition: () => boolean): Promise<void>;
  pods(namespace?: string): Pod[];
  apply<T extends KubeObject>(kind: Kind<T>, object: T): Promise<T>;
}

/** Controllers over `nodes` ready nodes; `run` says which pods get ready (default all). */
export async function startTestCluster(
  nodes: number,
  run: (pod: Pod) => boolean = () => true,
): Promise<TestCluster> {
  const store = new Store();
  const catalog = new Catalog();
  for (const resource of builtinResources({ ...behaviours, ...reviews })) catalog.add(resource);
  const cluster = storeCluster({ store, catalog });
  const stop = new AbortController();
  await cluster.create(kinds.namespace, { apiVersion: "v1", kind: "Namespace", metadata: { name: "t" } });
  playKubelets(cluster, run);
  startControllers(cluster, { log: createLogger("test", "silent"), signal: stop.signal, nodes });
  for (let i = 1; i <= nodes; i++) {
    const name = `n${i}`;
    const node = {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name, labels: { "kubernetes.io/hostname": name } },
    };
    const stored = await cluster.create(kinds.node, node);
    await cluster.updateStatus(kinds.node, {
      ...stored,
      status: { conditions: [{ type: "Ready", status: "True" }] },
    });
  }
  return {
    cluster,
    pods: (namespace = "t") =>
      [...cluster.cache(kinds.pod).all()].filter((pod) => pod.metadata.namespace === namespace),
    apply: (kind, object) => cluster.create(kind, object),
    until: (what, condition) =>
      new Promise((resolve, reject) => {
        const end = (done: () => void) => {
          clearTimeout(timer);
          unlisten();
          done();
        };
        const timer = setTimeout(() => end(() => reject(new Error(`not within 5 s: ${what}`))), 5_000);
        const unlisten = store.listenAll(() => {
          if (condition()) end(resolve);
        });
        if (condition()) end(resolve);
      }),
    [Symbol.dispose]: () => stop.abort(),
  };
}

/** A bound pod runs at once; a deleted one is gone at once. */
function playKubelets(cluster: Cluster, run: (pod: Pod) => boolean): void {
  let next = 1;
  cluster.cache(kinds.pod).onChange(({ type, object: pod }) => {
    if (type === "delete" || !pod.spec.nodeName) return;
    // After the write that brought the pod here.
    queueMicrotask(() => {
      if (pod.metadata.deletionTimestamp) void cluster.remove(kinds.pod, pod, { gracePeriodSeconds: 0 });
      else if (!pod.status?.podIPs && run(pod)) {
        const ip = `10.244.0.${next++}`;
        const status = {
          ...pod.status,
          phase: "Running" as const,
          podIP: ip,
          podIPs: [{ ip }],
          conditions: [{ type: "Ready", status: "True" as const }],
        };
        cluster.updateStatus(kinds.pod, { ...pod, status }).catch(() => {});
      }
    });
  });
}
