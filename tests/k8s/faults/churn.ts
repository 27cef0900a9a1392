// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from "node:timers/promises";
import type { Cluster } from "../cluster/cluster.ts";
import { loadImage } from "../load/image.ts";

const namespace = "churn";
const name = "churn";
const labels = { app: name };

/** A Deployment that is scaled up and down all the time, so that pods come and go whatever happens. */
export class Churn implements AsyncDisposable {
  readonly #cluster: Cluster;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  /** Pods asked for so far, about. */
  made = 0;

  private constructor(cluster: Cluster, random: () => number) {
    this.#cluster = cluster;
    this.#done = this.#run(random);
  }

  static async start(cluster: Cluster, random: () => number): Promise<Churn> {
    await cluster.apply({ apiVersion: "v1", kind: "List", items: objects() });
    return new Churn(cluster, random);
  }

  async #run(random: () => number): Promise<void> {
    let replicas = 0;
    while (!this.#stop.signal.aborted) {
      const next = Math.floor(random() * 7);
      this.made += Math.max(0, next - replicas);
      replicas = next;
      // The API server may be away: it is asked again next time.
      await this.#scale(next).catch(() => {});
      await delay(2_000 + random() * 3_000, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }

  async #scale(replicas: number): Promise<void> {
    const args = ["-n", namespace, "scale", "deployment", name, `--replicas=${replicas}`];
    await this.#cluster.kubectl(args, { timeoutMs: 10_000 });
  }

  /** Ends it and waits until its pods are gone: none of them may hang. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#done;
    const args = ["delete", "namespace", namespace, "--timeout=150s"];
    await this.#cluster.kubectl(args, { timeoutMs: 160_000 });
  }
}

function objects(): object[] {
  const container = {
    name,
    image: loadImage,
    imagePullPolicy: "IfNotPresent",
    args: ["serve", "7000"],
    resources: { requests: { cpu: "1m", memory: "4Mi" } },
  };
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name, namespace },
      spec: {
        replicas: 0,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: { terminationGracePeriodSeconds: 1, containers: [container] },
        },
      },
    },
  ];
}
