// SPDX-License-Identifier: Apache-2.0
import { isIPv6 } from "node:net";
import {
  type Bag,
  type Cluster,
  type ClusterNode,
  inBlock,
  type Manifest,
  namespaceLabels,
  type Party,
  type Pod,
} from "./cluster.ts";
import { keysOf, selects, selectsBy } from "./selector.ts";
import type { Side } from "./side.ts";

/** Labels with their source, as Cilium's selectors see them. */
type Sourced = readonly (readonly [key: string, value: string])[];

const namespaceKey = "io.kubernetes.pod.namespace";
const namespaceLabelsKey = "io.cilium.k8s.namespace.labels.";

function podLabels(pod: Pod, cluster: Cluster): Sourced {
  const ofSpace = Object.entries(namespaceLabels(cluster, pod.namespace));
  return [
    ...Object.entries(pod.labels).map(([key, value]) => [`k8s:${key}`, value] as const),
    ...ofSpace.map(([key, value]) => [`k8s:${namespaceLabelsKey}${key}`, value] as const),
    [`k8s:${namespaceKey}`, pod.namespace],
    ["k8s:io.cilium.k8s.policy.serviceaccount", pod.serviceAccount],
    ["k8s:io.cilium.k8s.policy.cluster", "default"],
  ];
}

function partyLabels(party: Party, cluster: Cluster): Sourced {
  if (party.kind === "pod") return podLabels(party.pod, cluster);
  const server = party.apiServer ? ([["reserved:kube-apiserver", ""]] as const) : [];
  if (party.kind === "host") return [["reserved:host", ""], ...server];
  if (party.kind === "remote-node")
    return [["reserved:remote-node", ""], ...nodeLabels(party.node), ...server];
  return [...server, ["reserved:world", ""], [`reserved:world-ipv${isIPv6(party.address) ? 6 : 4}`, ""]];
}

function nodeLabels({ labels }: ClusterNode): Sourced {
  return Object.entries(labels).map(([key, value]) => [`k8s:${key}`, value]);
}

/** A key without source stands for the label of that name from any source. */
function selectsSourced(selector: Bag, labels: Sourced): boolean {
  return selectsBy(selector, (key) => {
    const [, source = "any", name] = /^(?:([a-z0-9][-a-z0-9]*):)?(.*)$/s.exec(key)!;
    const same = ([full]: readonly [string, string]) =>
      source === "any" ? full.slice(full.indexOf(":") + 1) === name : full === key;
    return labels.filter(same).map(([, value]) => value);
  });
}

export function selectsPod(selector: Bag, pod: Pod, cluster: Cluster): boolean {
  return selectsSourced(selector, podLabels(pod, cluster));
}

/** The node as one that policies select. */
export function selectsNode(selector: Bag, node: ClusterNode): boolean {
  return selectsSourced(selector, [["reserved:host", ""], ...nodeLabels(node)]);
}

/** No peer field: anybody. One that is there and empty: nobody. */
export function ciliumPeerFits(rule: Bag, namespace: string | undefined, side: Side): boolean {
  const word = side.direction === "ingress" ? "from" : "to";
  const given = Object.keys(rule).filter((key) => key.startsWith(word) && key !== "toPorts");
  if (given.length === 0) return true;
  if (given.some((key) => (rule[key] as readonly unknown[]).length === 0)) return false;
  return given.some((key) => {
    const fits = forms[key.slice(word.length)];
    if (!fits) throw new Error(`the oracle does not know ${key}`);
    return (rule[key] as readonly unknown[]).some((one) => fits(one, side, namespace));
  });
}

type Form = (one: unknown, side: Side, namespace: string | undefined) => boolean;

const forms: Readonly<Record<string, Form>> = {
  Endpoints: (one, { peer, cluster }, namespace) => endpointFits(one as Bag, { peer, cluster, namespace }),
  Entities: (one, { peer }) => entityFits(String(one), peer),
  CIDR: (one, { peer }) => peer.kind === "outside" && inBlock(peer.address, String(one)),
  CIDRSet: (one, { peer, cluster }) => peer.kind === "outside" && setFits(one as Bag, peer.address, cluster),
  Nodes: (one, { peer, cluster }) =>
    peer.kind === "remote-node" && selectsSourced(one as Bag, partyLabels(peer, cluster)),
  Services: (one, { peer, cluster }) => serviceFits(one as Bag, peer, cluster),
};

/**
 * A selector that speaks of no namespace is about the policy's own, in a cluster-wide policy about pods of any. One that names
 * reserved labels stays as it is written, and so does one of a namespaced policy that speaks of namespaces by their labels.
 */
function endpointFits(
  selector: Bag,
  { peer, cluster, namespace }: { peer: Party; cluster: Cluster; namespace: string | undefined },
): boolean {
  const keys = keysOf(selector);
  const names = keys.map((key) => key.replace(/^(k8s|any):/, ""));
  const scoped =
    keys.some((key) => key.startsWith("reserved:")) ||
    names.includes(namespaceKey) ||
    (namespace !== undefined && names.some((name) => name.startsWith(namespaceLabelsKey)));
  if (!scoped && (peer.kind !== "pod" || (namespace !== undefined && peer.pod.namespace !== namespace)))
    return false;
  return selectsSourced(selector, partyLabels(peer, cluster));
}

function entityFits(entity: string, peer: Party): boolean {
  switch (entity) {
    case "all":
      return true;
    case "world":
      return peer.kind === "outside";
    case "world-ipv4":
      return peer.kind === "outside" && !isIPv6(peer.address);
    case "world-ipv6":
      return peer.kind === "outside" && isIPv6(peer.address);
    case "cluster":
      return peer.kind !== "outside" || peer.apiServer;
    case "cluster-mesh":
      return false;
    case "kube-apiserver":
      return peer.kind !== "pod" && peer.apiServer;
    default:
      return peer.kind === entity;
  }
}

/** A prefix, or those of the CIDR groups meant by name or labels; a group that is not there is empty. */
function setFits(set: Bag, address: string, cluster: Cluster): boolean {
  const { cidr, cidrGroupRef, cidrGroupSelector, except } = set as {
    cidr?: string;
    cidrGroupRef?: string;
    cidrGroupSelector?: Bag;
    except?: readonly string[];
  };
  if (cidr !== undefined) return inBlock(address, cidr, except);
  const groups = cluster.referred.filter(
    ({ kind, metadata }) =>
      kind === "CiliumCIDRGroup" &&
      (cidrGroupRef !== undefined
        ? metadata.name === cidrGroupRef
        : selects(cidrGroupSelector ?? {}, metadata.labels ?? {})),
  );
  const cidrs = groups.flatMap(({ spec }) => (spec?.externalCIDRs ?? []) as readonly string[]);
  return cidrs.some((one) => inBlock(address, one, except));
}

/**
 * A Service stands for what is behind it: the pods its selector selects in its namespace, or, without one, the addresses outside that
 * somebody wrote into its EndpointSlices.
 */
function serviceFits({ k8sService, k8sServiceSelector }: Bag, peer: Party, cluster: Cluster): boolean {
  const { serviceName, selector, namespace } = { ...(k8sService as Bag), ...(k8sServiceSelector as Bag) };
  return cluster.referred
    .filter(
      ({ kind, metadata }) => kind === "Service" && (namespace ?? metadata.namespace) === metadata.namespace,
    )
    .filter(({ metadata: { name, labels = {} } }) =>
      selector ? selects(selector as Bag, labels) : name === serviceName,
    )
    .some(({ metadata, spec }) =>
      spec?.selector
        ? peer.kind === "pod" &&
          peer.pod.namespace === metadata.namespace &&
          selects({ matchLabels: spec.selector }, peer.pod.labels)
        : peer.kind === "outside" && endpointsOf(cluster, metadata).includes(peer.address),
    );
}

function endpointsOf(cluster: Cluster, { namespace, name }: Manifest["metadata"]): string[] {
  return cluster.referred
    .filter(({ kind, metadata }) => kind === "EndpointSlice" && metadata.namespace === namespace)
    .filter(({ metadata: { labels = {} } }) => labels["kubernetes.io/service-name"] === name)
    .flatMap(({ endpoints = [] }) => endpoints.flatMap(({ addresses }) => addresses));
}
