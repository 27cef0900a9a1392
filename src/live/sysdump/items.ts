// SPDX-License-Identifier: Apache-2.0
import { get } from "node:http";
import type { KubeClient } from "#k8s/client.ts";
import { isNotFound } from "#k8s/errors.ts";
import { execText } from "#k8s/exec.ts";
import { type KubeObject, type Resource, resourceName, resourcePath, resources } from "#k8s/resource.ts";
import { askAgent } from "../ask.ts";
import { agentPerNode, type ComponentName, components, isRunning, listAll } from "../components.ts";
import type { PodObject } from "../objects.ts";
import { podSocket } from "../pod-socket.ts";
import { type Group, single } from "./collect.ts";

export interface ItemsOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly pods: Readonly<Record<ComponentName, readonly PodObject[]>>;
}

const logBytes = 8 * 2 ** 20;
const flowCount = 2000;
const metricsPort = { agent: 9962, operator: 9963, relay: 9966 } as const;

const kind = (group: string, version: string, plural: string): Resource => ({ group, version, plural });

/** Of the whole cluster. Secrets are not asked for. */
const clusterKinds: readonly Resource[] = [
  resources.nodes,
  resources.namespaces,
  resources.pods,
  resources.services,
  resources.endpointSlices,
  resources.networkPolicies,
  resources.ciliumNetworkPolicies,
  resources.ciliumClusterwideNetworkPolicies,
  resources.ciliumCidrGroups,
  resources.clusterNetworkPolicies,
  resources.ciliumEgressGatewayPolicies,
  resources.ciliumLocalRedirectPolicies,
  resources.nodePolicyStatuses,
  resources.ciliumIdentities,
  resources.ciliumEndpoints,
  resources.ciliumLoadBalancerIpPools,
  resources.ciliumL2AnnouncementPolicies,
  kind("cilium.io", "v2", "ciliumnodes"),
  kind("cilium.io", "v2alpha1", "ciliumendpointslices"),
  kind("", "v1", "events"),
];

/** Of the installation's namespace. */
const ownKinds: readonly Resource[] = [
  kind("apps", "v1", "daemonsets"),
  kind("apps", "v1", "deployments"),
  resources.leases,
];

/** What a report of a fault needs, in the order in which it is worth most. */
export function dumpGroups(options: ItemsOptions): Group[] {
  const { client, namespace, pods } = options;
  const agents = [...agentPerNode(pods.agent)];
  const everyPod = (["agent", "operator", "relay"] as const).flatMap((name) =>
    pods[name].map((pod) => ({ name, pod })),
  );
  const list = (resource: Resource, where?: string): Group =>
    single({
      path: `kubernetes/${resourceName(resource)}.json`,
      read: (signal) =>
        listAll(client, resource, { ...(where && { namespace: where }), signal }).catch(absent),
    });
  return [
    single({
      path: "kubernetes/version.json",
      read: (signal) => client.request({ method: "GET", path: "/version", signal }),
    }),
    ...agents.flatMap(([node, pod]) => agentGroups(client, node, pod)),
    ...everyPod.flatMap(({ pod }) => logGroups(client, pod)),
    ...clusterKinds.map((resource) => list(resource)),
    ...ownKinds.map((resource) => list(resource, namespace)),
    single({
      path: "kubernetes/weft-config.json",
      read: (signal) =>
        client.get<KubeObject>(kind("", "v1", "configmaps"), { namespace, name: "weft-config" }, signal),
    }),
    single({ path: "kubernetes/definitions.json", read: (signal) => definitions(client, signal) }),
    ...everyPod
      .filter(({ pod }) => isRunning(pod))
      .map(({ name, pod }) =>
        single({
          path: `metrics/${pod.metadata.name}.txt`,
          read: (signal) => metrics(client, pod, metricsPort[name], signal),
        }),
      ),
  ];
}

/** A kind that is not installed has no objects. */
function absent(thrown: unknown): string {
  if (isNotFound(thrown)) return "this kind is not installed\n";
  throw thrown;
}

/** Names and versions; the schemas are those of the release. */
async function definitions(client: KubeClient, signal: AbortSignal): Promise<unknown> {
  const all = await listAll<KubeObject & { spec?: { group?: string }; status?: object }>(
    client,
    resources.customResourceDefinitions,
    { signal },
  );
  return all
    .filter(({ spec }) => spec?.group === "cilium.io" || spec?.group === "policy.networking.k8s.io")
    .map(({ metadata, status }) => ({ metadata, status }));
}

function agentGroups(client: KubeClient, node: string, pod: PodObject): Group[] {
  const at = {
    namespace: pod.metadata.namespace,
    pod: pod.metadata.name,
    container: components.agent.container,
  };
  const folder = `nodes/${node}`;
  const run = (path: string, command: readonly string[]): Group =>
    single({
      path: `${folder}/${path}`,
      read: async (signal) => {
        const { code, stdout, stderr } = await execText(client, at, { command, signal });
        return code === 0 ? stdout : `${stdout}\n${stderr}\nexit code ${code}\n`;
      },
    });
  return [
    { name: `${folder}/agent`, read: (signal) => agentTables(client, pod, folder, signal) },
    run("flows.jsonl", [
      "weft",
      "observe",
      "--server",
      "unix:///run/weft/observer.sock",
      "--last",
      String(flowCount),
      "-o",
      "jsonpb",
    ]),
    run("kernel.txt", ["sh", "-c", "uname -a; cat /proc/cmdline /proc/meminfo; mount; zcat /proc/config.gz"]),
    run("network.txt", ["sh", "-c", "ip addr; ip route show table all; ip rule; ip neigh"]),
  ];
}

/** The agent's status, and all its tables and maps, each a file. */
async function agentTables(client: KubeClient, pod: PodObject, folder: string, signal: AbortSignal) {
  const [status, tables, maps] = await askAgent(client, pod, ["/v1/status", "/v1/tables", "/v1/bpf"], signal);
  const names = (tables?.body as { rows?: readonly (readonly unknown[])[] } | undefined)?.rows ?? [];
  const paths = [
    ...names.map(([name]) => `/v1/db/${encodeURIComponent(String(name))}`),
    ...((maps?.body as readonly string[] | undefined) ?? []).map((name) => `/v1/bpf/${name}`),
  ];
  const answers = paths.length > 0 ? await askAgent(client, pod, paths, signal) : [];
  return [
    { path: `${folder}/status.json`, content: status?.body ?? status },
    ...answers.map(({ path, body, error }) => ({
      path: `${folder}/${decodeURIComponent(path).replace("/v1/", "")}.json`,
      content: body ?? { error },
    })),
  ];
}

function logGroups(client: KubeClient, pod: PodObject): Group[] {
  const { name, namespace } = pod.metadata;
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  return statuses.flatMap((container) => {
    const read = (previous: boolean) => async (signal: AbortSignal) => {
      const answer = await client.stream({
        method: "GET",
        path: resourcePath(resources.pods, { namespace, name, subresource: "log" }),
        query: {
          container: container.name,
          timestamps: true,
          limitBytes: logBytes,
          tailLines: 20_000,
          ...(previous && { previous }),
        },
        signal,
      });
      const chunks: Buffer[] = [];
      for await (const chunk of answer) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks).toString();
    };
    const current = single({ path: `logs/${name}/${container.name}.log`, read: read(false) });
    if (container.restartCount === 0) return [current];
    return [current, single({ path: `logs/${name}/${container.name}.previous.log`, read: read(true) })];
  });
}

async function metrics(
  client: KubeClient,
  pod: PodObject,
  port: number,
  signal: AbortSignal,
): Promise<string> {
  const { name, namespace } = pod.metadata;
  await using socket = await podSocket(client, { namespace, pod: name, port }, signal);
  // Awaited here, as the socket goes when this returns.
  return await new Promise<string>((resolve, reject) => {
    const call = get({ socketPath: socket.path, path: "/metrics", signal, agent: false }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (chunk: string) => {
        text += chunk;
      });
      answer.once("end", () => resolve(text)).once("error", reject);
    });
    call.once("error", (error) => reject(new Error(socket.problem() ?? error.message, { cause: error })));
  });
}
