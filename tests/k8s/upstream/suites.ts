// SPDX-License-Identifier: Apache-2.0
/** Which specs of Kubernetes' own end-to-end tests are run, and which are not, with the reason. */
import type { ClusterOptions } from "../cluster/shape.ts";

export type SuiteName = "conformance" | "netpol" | "services" | "dual-stack";

/** The cluster a part runs on. */
export type TestCluster = Pick<ClusterOptions, "families" | "nodes" | "zones">;

export const testClusters = {
  v4: { families: "v4", nodes: 2, zones: 0 },
  /** Specs of traffic distribution want two nodes in each of three zones. */
  zones: { families: "v4", nodes: 6, zones: 3 },
  dual: { families: "dual", nodes: 2, zones: 0 },
} as const satisfies Record<string, TestCluster>;

/** `6 nodes in 3 zones, IPv4`. */
export function clusterText({ families, nodes, zones }: TestCluster): string {
  const where = zones > 0 ? ` in ${zones} zones` : "";
  return `${nodes} nodes${where}, ${families === "v4" ? "IPv4" : "IPv4 and IPv6"}`;
}

export interface Suite {
  readonly name: SuiteName;
  readonly title: string;
  /** Specs of the suite, by name, unless a suite before it takes them: a pattern for both Go and JavaScript. */
  readonly focus: string;
  readonly cluster: TestCluster;
}

/** In this order: a spec belongs to the first that takes it. */
export const suites: readonly Suite[] = [
  {
    name: "conformance",
    title: "Conformance: everything of [sig-network] that every Kubernetes must pass",
    focus: "\\[sig-network\\].*\\[Conformance\\]",
    cluster: testClusters.v4,
  },
  {
    name: "netpol",
    title: "Netpol: NetworkPolicy, its API and its enforcement",
    focus: "\\[sig-network\\] Netpol",
    cluster: testClusters.v4,
  },
  {
    name: "dual-stack",
    title: "IPv4 and IPv6 together",
    focus: "\\[sig-network\\].*\\[Feature:IPv6DualStack\\]",
    cluster: testClusters.dual,
  },
  {
    name: "services",
    title: "Services, DNS and pod networking beyond conformance",
    focus: "\\[sig-network\\]",
    cluster: testClusters.zones,
  },
];

export interface SkipRule {
  /** A pattern for both Go and JavaScript: names of specs. */
  readonly pattern: string;
  readonly reason: string;
}

/** Specs that are not run, by name. The first rule that matches gives the reason. */
export const skipRules: readonly SkipRule[] = [
  {
    pattern: "SCTPConnectivity|basic SCTP service|SCTP HostPort",
    reason: "the kernel of the test machines has no SCTP sockets",
  },
  { pattern: "\\[Feature:LoadBalancer\\]", reason: "needs a cloud that hands out load balancers" },
  { pattern: "Internet connection", reason: "the test cluster has no way to the Internet" },
  { pattern: "\\[Provider:GCE\\]", reason: "for that cloud only" },
  { pattern: "DNS configMap nameserver", reason: "needs DNS servers outside the cluster" },
  {
    pattern: "KubeProxy|kube-proxy migration|restarting kube-proxy",
    reason: "about kube-proxy, which Weft replaces",
  },
  {
    pattern: "\\[Disruptive\\]",
    reason: "restarts programs of nodes over SSH; tests/k8s restarts them itself",
  },
  { pattern: "\\[Alpha\\]", reason: "of a feature that is off unless asked for" },
  { pattern: "Networking-Performance|PerformanceDNS", reason: "measures, on a large cluster" },
  { pattern: "Service endpoints latency", reason: "measures Kubernetes itself; needs a machine of its own" },
];

/** The suite a spec belongs to; undefined: none. */
export function suiteOf(spec: string): Suite | undefined {
  return suites.find(({ focus }) => new RegExp(focus).test(spec));
}

/** The reason for which a spec is not run; undefined: it is. */
export function skipReason(spec: string): string | undefined {
  return skipRules.find(({ pattern }) => new RegExp(pattern).test(spec))?.reason;
}

/** For `--skip`, when these suites run: what is never run, and what belongs to a suite that is not among them. */
export function skipPattern(chosen: readonly Suite[]): string {
  const last = Math.max(...chosen.map((suite) => suites.indexOf(suite)));
  const others = suites.slice(0, last).filter((suite) => !chosen.includes(suite));
  return [...skipRules, ...others.map(({ focus }) => ({ pattern: focus }))]
    .map(({ pattern }) => pattern)
    .join("|");
}
