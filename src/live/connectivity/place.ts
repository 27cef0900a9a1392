// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { isNotFound } from "#k8s/errors.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { pause } from "#lib/clock.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import { podProblem } from "../ask.ts";
import { agentPerNode, listAll, notInstalled, weftPods } from "../components.ts";
import { isReadyPod, isTrue, type NodeObject, type PodObject } from "../objects.ts";
import type { Context, FlowLine, ServiceObject } from "./context.ts";
import {
  namespaceManifest,
  type PodPlan,
  podManifest,
  podName,
  podPlans,
  type Role,
  serviceManifests,
  testLabel,
} from "./manifests.ts";
import { type Prober, startProber } from "./prober.ts";

export interface SetUpOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly nodes: readonly NodeObject[];
  readonly image?: string | undefined;
  readonly signal: AbortSignal;
  progress(text: string): void;
  flows(sinceMs: number): Promise<FlowLine[]>;
}

interface NamespaceObject extends KubeObject {
  readonly metadata: { readonly name: string; readonly creationTimestamp?: string };
}

const podsMs = 120_000;
const pollMs = 500;
/** No run takes so long: what is older was left behind. */
const oldRunMs = 20 * 60_000;

/** One or two Ready nodes with a ready agent: the first and, for what is far, the last. @throws WeftError */
export async function chooseNodes(client: KubeClient, signal: AbortSignal): Promise<NodeObject[]> {
  const [nodes, pods] = await Promise.all([
    listAll<NodeObject>(client, resources.nodes, { signal }),
    weftPods(client, signal),
  ]);
  if (pods.agent.length === 0) throw notInstalled(client.server);
  const agents = agentPerNode(pods.agent);
  const fit = nodes
    .filter((node) => isTrue(node.status?.conditions, "Ready"))
    .filter((node) => {
      const agent = agents.get(node.metadata.name);
      return agent !== undefined && isReadyPod(agent);
    })
    .sort((a, b) => a.metadata.name.localeCompare(b.metadata.name));
  if (fit.length === 0)
    throw new WeftError("E_CONNECTIVITY", "no node is Ready with a ready agent", {
      hint: "weft status says why",
    });
  return fit.slice(0, 2);
}

/** Makes namespace, pods and Services, waits for the pods, and opens a session in each. @throws WeftError E_CONNECTIVITY */
export async function setUp(stack: AsyncDisposableStack, options: SetUpOptions): Promise<Context> {
  const { client, namespace, nodes, signal, progress, flows } = options;
  const image = options.image ?? (await agentImage(client, signal));
  const plans = podPlans(nodes.map((node) => node.metadata.name));
  await client.create(resources.namespaces, namespaceManifest(namespace), { signal });
  for (const plan of plans) await createPod(client, podManifest(namespace, image, plan), signal);
  progress(`waiting for ${plans.length} pods of ${image}`);
  const pods = await podsReady(client, namespace, plans, signal);
  const dualStack = (pods.get("client")?.status?.podIPs?.length ?? 1) > 1;
  const services = new Map<Role, ServiceObject>();
  for (const service of serviceManifests(namespace, plans, dualStack)) {
    const role = plans.find((plan) => podName(plan.role) === service.metadata?.name)!.role;
    services.set(role, (await client.create(resources.services, service, { signal })) as ServiceObject);
  }
  const probers = new Map<Role, Prober>();
  for (const { role } of plans)
    probers.set(role, stack.use(await startProber(client, { namespace, pod: podName(role) }, signal)));
  const kubernetes = await client.get<ServiceObject>(
    resources.services,
    { namespace: "default", name: "kubernetes" },
    signal,
  );
  return {
    client,
    namespace,
    signal,
    pods,
    services,
    nodes,
    apiServer: { addresses: kubernetes.spec.clusterIPs ?? [], port: 443 },
    prober: (role) => {
      const prober = probers.get(role);
      if (!prober) throw new WeftError("E_CONNECTIVITY", `there is no pod "${role}" in this run`);
      return prober;
    },
    flows,
  };
}

async function agentImage(client: KubeClient, signal: AbortSignal): Promise<string> {
  const image = (await weftPods(client, signal)).agent[0]?.spec.containers[0]?.image;
  if (!image) throw notInstalled(client.server);
  return image;
}

/** The namespace's service account comes a moment after it. */
async function createPod(client: KubeClient, pod: KubeObject, signal: AbortSignal): Promise<void> {
  for (const endMs = Date.now() + 15_000; ; await pause(pollMs, signal)) {
    try {
      await client.create(resources.pods, pod, { signal });
      return;
    } catch (thrown) {
      if (!errorText(thrown).includes("serviceaccount") || Date.now() > endMs) throw thrown;
    }
  }
}

async function podsReady(
  client: KubeClient,
  namespace: string,
  plans: readonly PodPlan[],
  signal: AbortSignal,
): Promise<Map<Role, PodObject>> {
  for (const endMs = Date.now() + podsMs; ; await pause(pollMs, signal)) {
    signal.throwIfAborted();
    const pods = await listAll<PodObject>(client, resources.pods, { namespace, signal });
    const byRole = new Map(
      plans.map(({ role }) => [role, pods.find((pod) => pod.metadata.name === podName(role))]),
    );
    const waiting = [...byRole].filter(([, pod]) => !pod || !isReadyPod(pod));
    if (waiting.length === 0) return byRole as Map<Role, PodObject>;
    if (Date.now() > endMs)
      throw new WeftError(
        "E_CONNECTIVITY",
        `pods are not ready after ${podsMs / 1000} s: ${waiting
          .map(([role, pod]) => `${podName(role)} (${(pod && podProblem(pod)) ?? "not ready"})`)
          .join(", ")}`,
        { hint: "weft status; with --keep they stay to be looked at" },
      );
  }
}

/** Takes a run's namespace away and waits until it is gone. @throws WeftError E_CONNECTIVITY naming it when it stays */
export async function removeNamespace(client: KubeClient, name: string, signal: AbortSignal): Promise<void> {
  try {
    await client.delete(resources.namespaces, { name }, { signal });
    for (;;) {
      await client.get(resources.namespaces, { name }, signal);
      await pause(pollMs, signal);
      signal.throwIfAborted();
    }
  } catch (thrown) {
    if (isNotFound(thrown)) return;
    throw new WeftError("E_CONNECTIVITY", `namespace ${name} is not gone: ${errorText(thrown)}`, {
      hint: `weft connectivity cleanup, or kubectl delete namespace ${name}`,
    });
  }
}

/** Takes away what earlier runs left, in whole (`all`) or what is older than any run can be. Returns the names. */
export async function removeOldRuns(
  client: KubeClient,
  options: { readonly all?: boolean; readonly signal: AbortSignal; progress(text: string): void },
): Promise<string[]> {
  const { all = false, signal, progress } = options;
  const left = await listAll<NamespaceObject>(client, resources.namespaces, {
    labelSelector: `${testLabel}=true`,
    signal,
  });
  const old = left.filter(
    ({ metadata }) => all || Date.now() - Date.parse(metadata.creationTimestamp ?? "") > oldRunMs,
  );
  for (const { metadata } of old) {
    progress(`taking namespace ${metadata.name} of an earlier run away`);
    await removeNamespace(client, metadata.name, AbortSignal.any([signal, AbortSignal.timeout(podsMs)]));
  }
  return old.map(({ metadata }) => metadata.name);
}
