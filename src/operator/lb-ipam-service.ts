// SPDX-License-Identifier: Apache-2.0
import type { V1Service } from "@kubernetes/client-node";
import type { KubeObject } from "#k8s/resource.ts";
import { type Address, type Family, isAddress, parseAddress } from "#model/ip.ts";
import { serviceLabels } from "#model/selects-labels.ts";
import type { Condition } from "./conditions.ts";
import { requestSatisfied } from "./lb-ipam-status.ts";

/** A Service, as far as its load-balancer addresses need it. */
export interface LbService {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly createdMs: number;
  /** Of type LoadBalancer, and of no class or of one whose addresses come from the pools. */
  readonly isOurs: boolean;
  readonly isLoadBalancer: boolean;
  /** With its namespace and name, for the pools' selectors. */
  readonly labels: Readonly<Record<string, string>>;
  /** As the API server has settled them: one or two. */
  readonly families: readonly Family[];
  /** PreferDualStack: one family is enough where there is no pool of the other. */
  readonly oneFamilyWillDo: boolean;
  /** Empty: any address will do. */
  readonly requested: readonly Address[];
  /** What is requested and is no address. */
  readonly unreadable: readonly string[];
  /** `TCP/80` */
  readonly ports: readonly string[];
  /** Sorted `key=value` of its pods when they must be the node's own (externalTrafficPolicy Local); "": it is Cluster. */
  readonly localPods: string;
  /** "": shares with nobody. */
  readonly sharingKey: string;
  /** Further namespaces it shares with; "*" is all. */
  readonly sharingNamespaces: readonly string[];
  /** status.loadBalancer.ingress[].ip */
  readonly held: readonly Address[];
  /** Entries of status.loadBalancer.ingress that are none of ours: host names. */
  readonly hasForeignIngress: boolean;
  readonly conditions: readonly Condition[];
  readonly resourceVersion: string;
}

const classes = ["io.cilium/bgp-control-plane", "io.cilium/l2-announcer"];

/** What the annotations are called; the second names are those of before Cilium 1.16. */
const annotationNames = {
  ips: ["lbipam.cilium.io/ips", "io.cilium/lb-ipam-ips"],
  sharingKey: ["lbipam.cilium.io/sharing-key", "io.cilium/lb-ipam-sharing-key"],
  sharingNamespaces: [
    "lbipam.cilium.io/sharing-cross-namespace",
    "io.cilium/lb-ipam-sharing-cross-namespace",
  ],
} as const;

/** @param requireClass Services without a load-balancer class are somebody else's */
export function lbServiceRow(object: V1Service & KubeObject, requireClass: boolean): LbService {
  const { metadata, spec = {}, status } = object;
  const { namespace = "", name = "" } = metadata ?? {};
  const annotation = (which: keyof typeof annotationNames) =>
    annotationNames[which].map((key) => metadata?.annotations?.[key]).find((text) => text !== undefined);
  const asked = [...listOf(spec.loadBalancerIP), ...listOf(annotation("ips"))];
  const ingress = status?.loadBalancer?.ingress ?? [];
  const isLoadBalancer = spec.type === "LoadBalancer";
  const className = spec.loadBalancerClass;
  return {
    namespace,
    name,
    uid: metadata?.uid ?? "",
    createdMs: Date.parse(String((metadata as { creationTimestamp?: unknown })?.creationTimestamp)) || 0,
    isLoadBalancer,
    isOurs: isLoadBalancer && (className === undefined ? !requireClass : classes.includes(className)),
    labels: serviceLabels({ namespace, name, labels: metadata?.labels }),
    families: familiesOf(spec),
    oneFamilyWillDo: spec.ipFamilyPolicy === "PreferDualStack",
    ...requestsOf(asked),
    ports: (spec.ports ?? []).map(({ protocol = "TCP", port }) => `${protocol}/${port}`),
    localPods:
      spec.externalTrafficPolicy === "Local"
        ? JSON.stringify(Object.entries(spec.selector ?? {}).sort())
        : "",
    sharingKey: annotation("sharingKey")?.trim() ?? "",
    sharingNamespaces: listOf(annotation("sharingNamespaces")),
    held: ingress.flatMap(({ ip }) => (ip !== undefined && ip !== "" ? readable(ip) : [])),
    hasForeignIngress: ingress.some(({ ip }) => !ip),
    conditions: (status?.conditions ?? []) as unknown as Condition[],
    resourceVersion: metadata?.resourceVersion ?? "",
  };
}

function listOf(text: string | undefined): string[] {
  return (text ?? "").split(",").flatMap((part) => part.trim() || []);
}

function readable(text: string): Address[] {
  try {
    return [parseAddress(text)];
  } catch {
    return [];
  }
}

function requestsOf(asked: readonly string[]): Pick<LbService, "requested" | "unreadable"> {
  const addresses = asked.flatMap(readable);
  return {
    requested: [...new Set(addresses)],
    unreadable: asked.filter((text) => readable(text).length === 0),
  };
}

function familiesOf({ ipFamilies, clusterIPs, clusterIP }: NonNullable<V1Service["spec"]>): Family[] {
  if (ipFamilies && ipFamilies.length > 0) return ipFamilies.map((name) => (name === "IPv6" ? 6 : 4));
  const addresses = (clusterIPs ?? [clusterIP ?? ""]).filter(isAddress);
  return addresses.length > 0 ? addresses.map((address) => (address.includes(":") ? 6 : 4)) : [4];
}

export function lbServiceKey({ namespace, name }: Pick<LbService, "namespace" | "name">): string {
  return `${namespace}/${name}`;
}

/** Whether the operator has spoken about the Service's addresses: it gave them, or tried to. */
export function isMarked({ conditions }: LbService): boolean {
  return conditions.some(({ type }) => type === requestSatisfied);
}

/** Why two Services cannot have one address; undefined: they can. */
export function sharingProblem(a: LbService, b: LbService): string | undefined {
  if (a.sharingKey === "" || b.sharingKey === "") return "no sharing key";
  if (a.sharingKey !== b.sharingKey) return "different sharing key";
  if (a.namespace !== b.namespace && !(admits(a, b) && admits(b, a))) return "different namespace";
  const port = a.ports.find((one) => b.ports.includes(one));
  if (port !== undefined) return `both have port ${port}`;
  // Under Local an address is answered where the pods are: two sets of pods would need two places.
  if (a.localPods !== b.localPods) return "different externalTrafficPolicy, or Local with different pods";
  return undefined;
}

function admits({ sharingNamespaces }: LbService, { namespace }: LbService): boolean {
  return sharingNamespaces.includes("*") || sharingNamespaces.includes(namespace);
}
