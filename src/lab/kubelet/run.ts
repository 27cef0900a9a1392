// SPDX-License-Identifier: Apache-2.0
import { watch } from "node:fs";
import { dirname, join } from "node:path";
import { createKubeClient } from "#k8s/client.ts";
import { loadCredentials } from "#k8s/kubeconfig.ts";
import { resources } from "#k8s/resource.ts";
import { cgroupRoot } from "#kernel/cgroup.ts";
import { netnsPath } from "#kernel/netns.ts";
import { nativeProgram } from "#lib/assets.ts";
import { aborted, pause } from "#lib/clock.ts";
import { errorText } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import { createDnsServer } from "../dns/server.ts";
import { loadImageMap } from "../image-map.ts";
import { byFamily, clusterDns, type LabShape, planLab } from "../layout.ts";
import type { EndpointSlice, KubeObject, Pod, Service } from "../objects.ts";
import { createPlayer } from "../stand-in/player.ts";
import { servicePorts } from "../stand-in/ports.ts";
import { createKubeletApi, type KubeletApi } from "./api.ts";
import { type CniRuntime, cniGc, cniStatus, loadConfList } from "./cni.ts";
import type { KubeletContext } from "./context.ts";
import { nodeObject, nodeStatus } from "./node-status.ts";
import type { PodPlace } from "./pod-place.ts";
import { PodWorker } from "./pod-worker.ts";
import { createSandboxes, type Sandboxes } from "./sandbox.ts";
import { serveKubelet } from "./server.ts";

/** What the lab tells a node process, as JSON in the node's `node.json`. */
export interface LabNodeConfig {
  readonly shape: LabShape;
  readonly node: string;
  readonly imageMap?: string;
  /** Where CNI plugins are; default: the installation's own. */
  readonly cniBinDirs?: readonly string[];
}

/**
 * One node's kubelet and stand-in, to be run in the node's network namespace and cgroup. Runs until the signal
 * aborts. Pods it finds from an earlier process keep their namespaces when CNI CHECK accepts them.
 */
export async function runLabNode(
  config: LabNodeConfig,
  deps: { log: Logger; signal: AbortSignal },
): Promise<void> {
  const { log, signal } = deps;
  const lab = planLab(config.shape);
  const plan = lab.nodes.find((node) => node.name === config.node)!;
  const client = createKubeClient(await loadCredentials(plan.kubeconfig), { userAgent: "weft-lab-kubelet" });
  const api = createKubeletApi(client, { node: plan.name, signal, log });
  const binDirs = config.cniBinDirs ?? [dirname(nativeProgram("weft-cni"))];
  const cni: CniRuntime = { confDir: plan.cniConfDir, binDirs };
  const workers = new Map<string, PodWorker>();
  const [services, slices, namespaces] = await Promise.all([
    api.follow<Service>(resources.services, {
      onChange: (_key, service) => {
        if (!service) return;
        for (const worker of workers.values()) worker.main[0]?.listen(servicePorts(worker.pod, [service]));
      },
    }),
    api.follow<EndpointSlice>(resources.endpointSlices),
    api.follow<KubeObject>(resources.namespaces),
    api.register(nodeObject(plan)),
  ]);
  const sandboxes = createSandboxes(cni, join(plan.dir, "sandboxes"));
  const view = dnsView({ services, slices, namespaces });
  const context: KubeletContext = {
    plan,
    log,
    signal,
    cgroup: join(cgroupRoot(), plan.cgroup),
    hostNetns: netnsPath(plan.netns),
    nameservers: byFamily(lab.families, clusterDns.v4, clusterDns.v6),
    images: config.imageMap ? loadImageMap(config.imageMap) : [],
    runtime: {
      node: plan.name,
      families: lab.families,
      player: createPlayer(),
      dns: createDnsServer(view, lab.families),
    },
    sandboxes,
    envSources: (place) => envSources(place, { api, services, hostIps: plan.addresses }),
    servicePorts: (pod) => servicePorts(pod, services.values()),
    event: (pod, type, reason, message) => api.event(pod, { type, reason, message }),
    writeStatus: (pod, status) => api.writePodStatus(pod, status),
    finalize: (pod) => api.deletePod(pod),
  };
  await using _server = await serveKubelet(plan.kubelet, workers);
  await Promise.all([followCni(api, { plan, cni, signal, log }), followPods(context, { api, cni, workers })]);
  client[Symbol.dispose]();
}

type Maps = {
  readonly services: ReadonlyMap<string, Service>;
  readonly slices: ReadonlyMap<string, EndpointSlice>;
  readonly namespaces: ReadonlyMap<string, KubeObject>;
};

function dnsView({ services, slices, namespaces }: Maps) {
  return {
    service: (namespace: string, name: string) => services.get(`${namespace}/${name}`),
    *slices(namespace: string, service: string) {
      for (const slice of slices.values()) {
        if (slice.metadata.namespace !== namespace) continue;
        if (slice.metadata.labels?.["kubernetes.io/service-name"] === service) yield slice;
      }
    },
    hasNamespace: (name: string) => namespaces.has(name),
  };
}

function envSources(
  { pod, podIps }: PodPlace,
  {
    api,
    services,
    hostIps,
  }: { api: KubeletApi; services: ReadonlyMap<string, Service>; hostIps: readonly string[] },
) {
  const namespace = pod.metadata.namespace ?? "default";
  return {
    configMap: (name: string) => api.configMap(namespace, name),
    secret: (name: string) => api.secret(namespace, name),
    *services() {
      for (const service of services.values()) {
        const own = service.metadata.namespace === namespace;
        const kubernetes = service.metadata.namespace === "default" && service.metadata.name === "kubernetes";
        if (own || kubernetes) yield service;
      }
    },
    podIps,
    hostIps,
  };
}

interface PodsDeps {
  readonly api: KubeletApi;
  readonly cni: CniRuntime;
  readonly workers: Map<string, PodWorker>;
}

/** A worker for every pod of this node; a pod that was replaced under the same name waits until the old one is gone. */
async function followPods(context: KubeletContext, { api, cni, workers }: PodsDeps): Promise<void> {
  const { plan, signal, sandboxes, log } = context;
  const kept = new Map(sandboxes.list().map((sandbox) => [sandbox.uid, sandbox]));
  await forgetOthers(context, cni);
  const start = async (key: string, pod: Pod) => {
    const uid = pod.metadata.uid ?? "";
    const sandbox = kept.get(uid);
    kept.delete(uid);
    const intact = sandbox !== undefined && (await sandboxes.isIntact(sandbox, signal));
    if (sandbox && !intact) {
      await sandboxes.remove(sandbox).catch((thrown: unknown) => {
        log.warn({ pod: key, err: errorText(thrown) }, "sandbox of an earlier run not removed");
      });
    }
    const worker = new PodWorker(context, pod, intact ? sandbox : undefined);
    workers.set(key, worker);
    if (pod.metadata.deletionTimestamp) worker.update(pod);
    void worker.done.then(() => {
      if (workers.get(key) === worker) workers.delete(key);
      const waiting = next.get(key);
      next.delete(key);
      if (waiting) void start(key, waiting);
    });
  };
  const next = new Map<string, Pod>();
  const starting = new Set<string>();
  const pods = await api.follow<Pod>(resources.pods, {
    fieldSelector: `spec.nodeName=${plan.name}`,
    onChange(key, pod) {
      const worker = workers.get(key);
      if (worker) {
        if (!pod) {
          next.delete(key);
          worker.vanish();
        } else if (pod.metadata.uid === worker.uid) worker.update(pod);
        else {
          worker.vanish();
          next.set(key, pod);
        }
      } else if (pod && !starting.has(key)) {
        starting.add(key);
        void start(key, pod).finally(() => starting.delete(key));
      }
    },
  });
  await collectGarbage(context, kept.values(), pods.size).catch((thrown: unknown) => {
    log.warn({ err: errorText(thrown) }, "old sandboxes not removed");
  });
  await aborted(signal);
}

/** Before the first ADD: an attachment that is in no record was never finished. Nothing to do before an agent ever ran. */
async function forgetOthers({ sandboxes, log }: KubeletContext, cni: CniRuntime): Promise<void> {
  try {
    const list = await loadConfList(cni.confDir);
    if (list)
      await cniGc(
        cni,
        list,
        sandboxes.list().map((sandbox) => sandboxes.attachment(sandbox)),
      );
  } catch (thrown) {
    log.warn({ err: errorText(thrown) }, "CNI GC failed");
  }
}

/** What an earlier process left of pods that are gone. */
async function collectGarbage(
  context: KubeletContext,
  left: Iterable<ReturnType<Sandboxes["list"]>[number]>,
  pods: number,
): Promise<void> {
  const old = [...left];
  for (const sandbox of old) await context.sandboxes.remove(sandbox);
  if (old.length > 0) context.log.info({ removed: old.length, pods }, "removed sandboxes of earlier pods");
}

interface CniWatch {
  readonly plan: KubeletContext["plan"];
  readonly cni: CniRuntime;
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/** Ready exactly while there is a CNI configuration whose plugin says it can work. */
async function followCni(api: KubeletApi, { plan, cni, signal, log }: CniWatch): Promise<void> {
  let changed: () => void = () => {};
  const watcher = watch(cni.confDir, () => changed());
  signal.addEventListener("abort", () => {
    watcher.close();
    changed();
  });
  let before: string | undefined = "";
  while (!signal.aborted) {
    const woken = new Promise<void>((resolve) => {
      changed = resolve;
    });
    const problem = await cniProblem(cni);
    if (problem !== before) {
      try {
        await api.writeNodeStatus(plan.name, nodeStatus(plan, problem));
        before = problem;
      } catch (thrown) {
        if (!signal.aborted) log.warn({ err: errorText(thrown) }, "node status not written");
      }
    }
    await Promise.race([woken, pause(problem === undefined && before === undefined ? 10_000 : 100, signal)]);
  }
}

async function cniProblem(cni: CniRuntime): Promise<string | undefined> {
  try {
    const list = await loadConfList(cni.confDir);
    if (!list) return "container runtime network not ready: cni config uninitialized";
    await cniStatus(cni, list);
    return undefined;
  } catch (thrown) {
    return `container runtime network not ready: ${errorText(thrown)}`;
  }
}
