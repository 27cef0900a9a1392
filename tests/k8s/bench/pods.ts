// SPDX-License-Identifier: Apache-2.0
/** CNI ADD, and from a pod's creation to its readiness: one by one as the 1st, 50th and 110th pod of a node, and 50 at once. */
import { errorText } from "#lib/errors.ts";
import { type Figure, figure, latency } from "../../bench/stats.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { until } from "../cluster/until.ts";
import { loadImage } from "../load/image.ts";
import type { Api } from "./api.ts";
import { addTimes } from "./plugins.ts";
import { atRest, perPod, usages, type Watched } from "./usage.ts";

const namespace = "bench";
const path = `/api/v1/namespaces/${namespace}/pods`;
/** What a kubelet takes unless told otherwise. */
const nodeCapacity = 110;

export interface PodBench extends AsyncDisposable {
  /** Pods of the node, those of the system too. */
  count(): Promise<number>;
  /** One pod after the other, each gone before the next. */
  oneByOne(count: number): Promise<Times>;
  /** So many created together; `stay`: they go on running. */
  atOnce(count: number, how?: { readonly stay: boolean }): Promise<Times>;
}

/** Milliseconds. */
export interface Times {
  readonly addMs: readonly number[];
  readonly readyMs: readonly number[];
  /** Until the last was ready. */
  readonly allMs: number;
}

export async function podBench(cluster: Cluster, api: Api, node: string): Promise<PodBench> {
  await api.call("POST", "/api/v1/namespaces", { metadata: { name: namespace } });
  const account = `/api/v1/namespaces/${namespace}/serviceaccounts/default`;
  await until("the namespace's service account", 30_000, () =>
    api.call("GET", account).then(
      () => true,
      () => false,
    ),
  );
  const readyAt = new Map<string, number>();
  const gone = new Set<string>();
  const watch = await api.watchPods(namespace, ({ name, ready, deleted }) => {
    if (deleted) gone.add(name);
    else if (ready && !readyAt.has(name)) readyAt.set(name, performance.now());
  });
  let last = 0;
  const create = async (): Promise<[string, number]> => {
    const name = `pod-${++last}`;
    const fromMs = performance.now();
    await api.call("POST", path, pod(name, node));
    return [name, fromMs];
  };
  const ready = async ([name, fromMs]: readonly [string, number]) => {
    await until(`${name} to be ready`, 180_000, () => readyAt.has(name)).catch(async (error: unknown) => {
      const said = await cluster.kubectl(["describe", "pod", "-n", namespace, name]);
      throw new Error(`${errorText(error)}; the API says of it:\n${said}`, { cause: error });
    });
    return readyAt.get(name)! - fromMs;
  };
  const remove = async (name: string) => {
    await api.call("DELETE", `${path}/${name}`);
    await until(`${name} to go`, 180_000, () => gone.has(name));
  };
  return {
    async count() {
      const query = `fieldSelector=${encodeURIComponent(`spec.nodeName=${node}`)}`;
      const { items } = (await api.call("GET", `/api/v1/pods?${query}`)) as { items: unknown[] };
      return items.length;
    },
    async oneByOne(count) {
      await addTimes(cluster, node);
      const startMs = performance.now();
      const readyMs: number[] = [];
      for (let i = 0; i < count; i++) {
        const made = await create();
        readyMs.push(await ready(made));
        await remove(made[0]);
      }
      return { readyMs, addMs: await addTimes(cluster, node), allMs: performance.now() - startMs };
    },
    async atOnce(count, { stay } = { stay: false }) {
      await addTimes(cluster, node);
      const startMs = performance.now();
      const made = await Promise.all(Array.from({ length: count }, create));
      const readyMs = await Promise.all(made.map(ready));
      const allMs = Math.max(...made.map(([name]) => readyAt.get(name)!)) - startMs;
      const addMs = await addTimes(cluster, node);
      if (!stay) await Promise.all(made.map(([name]) => remove(name)));
      return { readyMs, addMs, allMs };
    },
    async [Symbol.asyncDispose]() {
      watch[Symbol.dispose]();
      await cluster.kubectl(["delete", "namespace", namespace, "--timeout=300s"], { timeoutMs: 310_000 });
    },
  };
}

function pod(name: string, node: string): object {
  const container = {
    name: "pod",
    image: loadImage,
    imagePullPolicy: "IfNotPresent",
    args: ["serve", "7000"],
    resources: { requests: { cpu: "1m", memory: "1Mi" } },
  };
  return {
    metadata: { name, labels: { app: "bench" } },
    spec: { nodeName: node, terminationGracePeriodSeconds: 1, containers: [container] },
  };
}

export interface PodRun {
  readonly cluster: Cluster;
  readonly bench: PodBench;
  readonly watched: readonly Watched[];
  readonly rounds: number;
  progress(text: string): void;
}

export async function podFigures({ cluster, bench, watched, rounds, progress }: PodRun): Promise<Figure[]> {
  const figures: Figure[] = [];
  const add = (name: string, { addMs, readyMs }: Times) =>
    figures.push(...latency(`CNI ADD, ${name}`, addMs), ...latency(`pod created to Ready, ${name}`, readyMs));
  progress("one by one on an empty node");
  add("one by one, empty node", await bench.oneByOne(rounds));
  figures.push(...(await atRest(cluster, watched, "empty node")));

  progress("50 at once");
  const before = await usages(cluster, watched);
  const burst = await bench.atOnce(50);
  add("50 at once", burst);
  figures.push(figure("50 pods created at once to all Ready", "s", [burst.allMs / 1_000]));
  figures.push(...perPod(before, await usages(cluster, watched), { pods: 50, when: "50 made and deleted" }));

  for (const size of [50, nodeCapacity]) {
    const missing = size - 1 - (await bench.count());
    progress(`${missing} pods more, then one by one as number ${size}`);
    const filling = await bench.atOnce(missing, { stay: true });
    if (size === nodeCapacity) add(`${missing} at once to fill the node`, filling);
    add(`one by one, number ${size} of the node`, await bench.oneByOne(rounds));
  }
  await bench.atOnce(1, { stay: true });
  const full = await bench.count();
  if (full !== nodeCapacity) throw new Error(`the node has ${full} pods, not ${nodeCapacity}`);
  progress(`${full} pods run`);
  figures.push(...(await atRest(cluster, watched, `${full} pods`)));
  return figures;
}
