// SPDX-License-Identifier: Apache-2.0
import { localIdentity } from "#identities/allocate.ts";
import { nodeIdentityScope, ReservedIdentity } from "#model/identity.ts";
import { type Address, isAddress, parseAddress } from "#model/ip.ts";
import { type Labels, labelText } from "#model/labels.ts";
import { hostLabel } from "../selector.ts";
import type { NodeObject, SourcedObject } from "./objects.ts";

/** A node of the cluster: a peer, and, where the host firewall is on, somebody policies select. */
export interface OfflineNode {
  readonly name: string;
  /** Keys without source. */
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly Address[];
}

export function nodesOf(objects: readonly SourcedObject[]): OfflineNode[] {
  return objects.flatMap(({ object }) =>
    object.kind === "Node" && object.apiVersion === "v1" ? [nodeOf(object)] : [],
  );
}

function nodeOf(object: NodeObject): OfflineNode {
  const addresses = (object.status?.addresses ?? [])
    .filter(({ type, address }) => type !== "Hostname" && isAddress(address))
    .map(({ address }) => parseAddress(address));
  return { name: object.metadata.name, labels: object.metadata.labels ?? {}, addresses };
}

/** Labels with source. */
export function nodeLabels({ labels }: OfflineNode): Labels {
  return new Map(Object.entries(labels).map(([key, value]) => [`k8s:${key}`, value]));
}

/** Labels of the node as an endpoint. */
export function hostLabels(node: OfflineNode): Labels {
  return new Map([...nodeLabels(node), [hostLabel, ""]]);
}

export interface NodeIdentities {
  /** As other nodes know it. */
  readonly remote: ReadonlyMap<OfflineNode, number>;
  /** As the node itself and its pods know it. */
  readonly own: ReadonlyMap<OfflineNode, number>;
}

export interface NodeIdentityContext {
  /** Keys of labels, with source, that policies ask of nodes. */
  readonly keys: ReadonlySet<string>;
  readonly apiServers: ReadonlySet<Address>;
  add(id: number, labels: Labels): void;
  taken(id: number): boolean;
}

/**
 * Identities of nodes as `NodeIdentities` of the identities gives them: reserved ones, and others for the labels that policies ask for. A node
 * is `host` to itself whatever its labels; where all nodes are judged in one place those with labels need a number each.
 */
export function identifyNodes(
  nodes: readonly OfflineNode[],
  { keys, apiServers, add, taken }: NodeIdentityContext,
): NodeIdentities {
  const byText = new Map<string, number>();
  const numberOf = (labels: Labels, reserved: number | undefined) => {
    if (reserved !== undefined) return reserved;
    const text = labelText(labels);
    let id = byText.get(text);
    if (id === undefined) {
      id = localIdentity(text, taken, nodeIdentityScope);
      add(id, labels);
      byText.set(text, id);
    }
    return id;
  };
  const remote = new Map<OfflineNode, number>();
  const own = new Map<OfflineNode, number>();
  for (const node of nodes) {
    const asked = [...nodeLabels(node)].filter(([key]) => keys.has(key));
    const apiServer = node.addresses.some((address) => apiServers.has(address));
    const kept = new Map([...asked, ...(apiServer ? [["reserved:kube-apiserver", ""] as const] : [])]);
    const reserved = apiServer ? ReservedIdentity.kubeApiserver : ReservedIdentity.remoteNode;
    remote.set(
      node,
      numberOf(labelled(kept, "reserved:remote-node"), asked.length > 0 ? undefined : reserved),
    );
    own.set(node, numberOf(labelled(kept, hostLabel), kept.size > 0 ? undefined : ReservedIdentity.host));
  }
  return { remote, own };
}

function labelled(labels: Labels, key: string): Labels {
  return new Map([...labels, [key, ""]]);
}
