// SPDX-License-Identifier: Apache-2.0
import { securityLabels } from "#identities/security-labels.ts";
import { WeftError } from "#lib/errors.ts";
import { reservedNames } from "#model/identity.ts";
import { isAddress, parseAddress } from "#model/ip.ts";
import type { Requirement } from "../rule.ts";
import { matches, namespaceLabel, sourced } from "../selector.ts";
import type { OfflineCluster } from "./cluster.ts";
import type { End } from "./end.ts";
import type { OfflinePod } from "./pods.ts";
import type { OfflineService } from "./services.ts";

/** Somebody a question can be about; a service is asked by its backends. */
export type Party = End | { readonly kind: "service"; readonly service: OfflineService };

/**
 * Whom a text means: `namespace/pod`, `namespace/workload`, `namespace/service` (in this order; `service:namespace/name` for the service of that
 * name), `node:name`, an address, a reserved identity (`world`, `host`, `remote-node`, `kube-apiserver`), or labels (`app=web,tier`): every pod that has them, or, when none has, one that
 * would.
 * @param namespace of names without one
 * @throws WeftError E_QUESTION
 */
export function findParties(cluster: OfflineCluster, text: string, namespace: string): Party[] {
  if (isAddress(text)) return [ofAddress(cluster, text)];
  if ([...reservedNames.values()].includes(text)) return [{ kind: "reserved", name: text }];
  if (text.startsWith("node:")) return [nodeNamed(cluster, text.slice("node:".length))];
  const [, prefix, rest] = /^(service|svc|pod):(.*)$/.exec(text) ?? [];
  if (prefix === undefined && /[=,!]/.test(text)) return byLabels(cluster, text, namespace);
  const name = rest ?? text;
  const full = name.includes("/") ? name : `${namespace}/${name}`;
  const pod = prefix === "service" || prefix === "svc" ? undefined : findPod(cluster, full);
  if (pod) return [{ kind: "pod", pod }];
  const service = prefix === "pod" ? undefined : findService(cluster, full);
  if (service) return [{ kind: "service", service }];
  const what = prefix === undefined ? "pod, workload or service" : prefix === "pod" ? "pod" : "service";
  throw new WeftError("E_QUESTION", `there is no ${what} ${full}`, { hint: nearest(cluster, full) });
}

function nodeNamed({ nodes }: OfflineCluster, name: string): Party {
  const node = nodes.find((one) => one.name === name);
  if (node) return { kind: "node", node };
  const names = nodes.map((one) => one.name);
  throw new WeftError("E_QUESTION", `there is no node ${name}`, {
    hint:
      names.length === 0
        ? "nodes are known by their Node objects: `kubectl get nodes -o yaml` writes them"
        : `there are ${names.slice(0, 8).join(", ")}${names.length > 8 ? ", …" : ""}`,
  });
}

/** A service's address means the service; a pod's means the pod, a node's the node. */
function ofAddress(cluster: OfflineCluster, text: string): Party {
  const address = parseAddress(text);
  const service = cluster.services.find(({ addresses }) => addresses.includes(address));
  if (service) return { kind: "service", service };
  const pod = cluster.pods.find((one) => !one.hostNetwork && one.addresses.includes(address));
  if (pod) return { kind: "pod", pod };
  const node = cluster.nodes.find(({ addresses }) => addresses.includes(address));
  return node ? { kind: "node", node, address } : { kind: "address", address };
}

/** By its name, else by the name of its workload; a running pod's name also finds the template it was made of. */
export function findPod(cluster: OfflineCluster, full: string): OfflinePod | undefined {
  const slash = full.indexOf("/");
  const [namespace, name] = [full.slice(0, slash), full.slice(slash + 1)];
  const here = cluster.pods.filter((pod) => pod.namespace === namespace);
  return (
    here.find((pod) => pod.name === name) ??
    here.find((pod) => pod.workload === name) ??
    here.find((pod) => pod.addresses.length === 0 && isMadeOf(name, pod))
  );
}

/** `web-7d9c8b5f4-x2x4z` of Deployment web, `agent-x2x4z` of DaemonSet agent. */
function isMadeOf(name: string, { workload, kind }: OfflinePod): boolean {
  if (!name.startsWith(`${workload}-`)) return false;
  const rest = name.slice(workload.length + 1);
  return kind === "Deployment" ? /^[a-z0-9]{1,10}-[a-z0-9]{5}$/.test(rest) : /^([a-z0-9]{5}|\d+)$/.test(rest);
}

function findService(cluster: OfflineCluster, full: string): OfflineService | undefined {
  return cluster.services.find(({ namespace, name }) => `${namespace}/${name}` === full);
}

function nearest({ pods, services }: OfflineCluster, full: string): string {
  const name = full.slice(full.indexOf("/") + 1);
  const all = [
    ...pods.map((pod) => `${pod.namespace}/${pod.workload}`),
    ...services.map((one) => `${one.namespace}/${one.name}`),
  ];
  const same = all.find((one) => one.endsWith(`/${name}`));
  if (same) return `there is ${same}`;
  if (all.length === 0) return "there are no pods and no services at all: name the manifests with -f";
  const some = [...new Set(all)].slice(0, 8).join(", ");
  return `a name is namespace/name, and there are ${some}${all.length > 8 ? ", …" : ""}`;
}

function byLabels(cluster: OfflineCluster, text: string, namespace: string): Party[] {
  const requirements = text.split(",").map((part): Requirement => {
    const [, not, key, value] = /^(!?)([^=!]+)(?:=(.*))?$/.exec(part.trim()) ?? [];
    if (key === undefined || (not === "!" && value !== undefined))
      throw new WeftError("E_QUESTION", `"${text}" are no labels: a label is key=value, key or !key`);
    if (not === "!") return { key: sourced(key), operator: "DoesNotExist", values: [] };
    return value === undefined
      ? { key: sourced(key), operator: "Exists", values: [] }
      : { key: sourced(key), operator: "In", values: [value] };
  });
  const found = cluster.pods.filter((pod) => !pod.hostNetwork && matches({ requirements }, pod.labels));
  const unique = new Map(found.map((pod) => [`${pod.namespace}/${pod.workload}`, pod]));
  if (unique.size > 0) return [...unique.values()].map((pod) => ({ kind: "pod", pod }));
  return [{ kind: "pod", pod: imagined(cluster, requirements, namespace) }];
}

/** A pod that would have the labels. */
function imagined(
  cluster: OfflineCluster,
  requirements: readonly Requirement[],
  defaultNamespace: string,
): OfflinePod {
  const own: Record<string, string> = {};
  let namespace = defaultNamespace;
  for (const { key, operator, values } of requirements) {
    const name = key.slice(key.indexOf(":") + 1);
    if (name === namespaceLabel) namespace = values[0] ?? namespace;
    else if (operator !== "DoesNotExist") own[name] = values[0] ?? "";
  }
  const { clusterName, keepsLabel } = cluster.settings;
  const namespaceLabels = cluster.namespaces.get(namespace) ?? { "kubernetes.io/metadata.name": namespace };
  const facts = { namespace, labels: own, namespaceLabels, serviceAccount: "default", cluster: clusterName };
  const text = Object.entries(own).map(([key, value]) => (value === "" ? key : `${key}=${value}`));
  const name = `(${text.join(",") || "any pod"})`;
  return {
    namespace,
    name,
    workload: name,
    kind: "",
    own,
    annotations: {},
    labels: securityLabels(facts, keepsLabel),
    ports: [],
    hostNetwork: false,
    node: "",
    addresses: [],
    replicas: 1,
  };
}

/** The cluster with the pods of the parties that are not in it yet: only what it holds can be judged. */
export function withImagined(cluster: OfflineCluster, parties: readonly Party[]): OfflineCluster {
  const more = parties.flatMap((party) =>
    party.kind === "pod" && !cluster.pods.includes(party.pod) ? [party.pod] : [],
  );
  return more.length === 0 ? cluster : { ...cluster, pods: [...cluster.pods, ...more] };
}
