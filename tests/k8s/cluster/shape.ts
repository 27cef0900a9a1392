// SPDX-License-Identifier: Apache-2.0
/** What a cluster looks like: its options, the addresses that follow from them, and where its state lies. */
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { WeftError } from "#lib/errors.ts";

/** The Kubernetes that is built and run. */
export const KUBERNETES_VERSION = "1.35.4";
/** Registry name of the images that are built here; nothing is ever pulled. */
export const IMAGE_PREFIX = "e2e.local";

export type KubeProxyMode = "none" | "iptables" | "nftables";
export type StandInNetwork = "none" | "bridge";

export interface ClusterOptions {
  /** 1 to 12 of a-z and 0-9: part of every namespace and cgroup the cluster has. */
  readonly name: string;
  readonly nodes: number;
  /** Nodes take turns in so many zones, named `z1` and on; 0: nodes say of no zone. */
  readonly zones: number;
  readonly families: "v4" | "dual";
  readonly podCidr: string;
  /** Only with dual. */
  readonly podCidr6: string;
  readonly serviceCidr: string;
  readonly serviceCidr6: string;
  readonly proxy: KubeProxyMode;
  /** `none`: nodes stay NotReady until somebody writes a CNI configuration. */
  readonly cni: StandInNetwork;
  /** False: the controller manager gives nodes no pod CIDRs (for an operator with pools of its own). */
  readonly nodeCidrs: boolean;
  /** CoreDNS as the service kube-dns. */
  readonly dns: boolean;
  readonly apiServerFlags: readonly string[];
  /** Image archives (OCI or docker) every node has at start, beside those of the build. */
  readonly images: readonly string[];
}

export const defaultOptions: ClusterOptions = {
  name: "dev",
  nodes: 2,
  zones: 0,
  families: "v4",
  podCidr: "10.244.0.0/16",
  podCidr6: "fd00:244::/56",
  serviceCidr: "10.96.0.0/16",
  serviceCidr6: "fd00:96::/112",
  proxy: "none",
  cni: "none",
  nodeCidrs: true,
  dns: true,
  apiServerFlags: [],
  images: [],
};

/** @throws WeftError E_CLUSTER_OPTIONS */
export function checkOptions(options: ClusterOptions): void {
  const refuse = (text: string) => {
    throw new WeftError("E_CLUSTER_OPTIONS", text);
  };
  if (!/^[a-z0-9]{1,12}$/.test(options.name)) {
    refuse(`"${options.name}" is not a name for a cluster: 1 to 12 of a-z and 0-9`);
  }
  if (!Number.isInteger(options.nodes) || options.nodes < 0 || options.nodes > 20) {
    refuse(`a cluster of ${options.nodes} nodes: 0 to 20 are possible`);
  }
  for (const family of [4, 6] as const) {
    if (!/^[0-9a-f.:]+\/\d+$/.test(serviceCidr(options, family))) {
      refuse(`"${serviceCidr(options, family)}" is not a service CIDR`);
    }
  }
}

const serviceCidr = (options: ClusterOptions, family: 4 | 6) =>
  family === 4 ? options.serviceCidr : options.serviceCidr6;

/** Every cluster has these: each lives in a network namespace of its own. */
export const addresses = {
  /** The API server, and the router of the node network. */
  gateway: { v4: "10.240.0.1", v6: "fd00:240::1" },
  /** A host on the node network that is no node. */
  outside: { v4: "10.240.0.200", v6: "fd00:240::c8" },
  apiPort: 6443,
  etcdPort: 2379,
} as const;

/** Addresses of node `index` (from 1). */
export function nodeAddress(index: number): { readonly v4: string; readonly v6: string } {
  return { v4: `10.240.0.${10 + index}`, v6: `fd00:240::${(10 + index).toString(16)}` };
}

/** Labels that node `index` registers with: `topology.kubernetes.io/zone=z1`; empty: none. */
export function nodeLabels({ zones }: ClusterOptions, index: number): string {
  return zones > 0 ? `topology.kubernetes.io/zone=z${((index - 1) % zones) + 1}` : "";
}

export function nodeNames(options: ClusterOptions): string[] {
  return Array.from({ length: options.nodes }, (_, i) => `n${i + 1}`);
}

/** Address number `offset` of the service range: 1 is `kubernetes`, 10 is `kube-dns`. `offset` stays below 250. */
export function serviceAddress(options: ClusterOptions, offset: number, family: 4 | 6 = 4): string {
  const base = serviceCidr(options, family).split("/")[0]!;
  if (family === 6) return `${base.replace(/::$/, "")}::${offset.toString(16)}`;
  return base.replace(/\d+$/, (last) => String(Number(last) + offset));
}

/** Where builds and clusters are kept: `WEFT_CACHE`, otherwise ~/.cache/weft. */
export function cacheDir(): string {
  const dir = resolve(process.env["WEFT_CACHE"] ?? join(homedir(), ".cache/weft"));
  if (/^\/(run|opt|etc|dev|proc|sys|var\/(lib|log))(\/|$)/.test(dir)) {
    throw new WeftError("E_CACHE_DIR", `${dir} cannot hold test clusters: nodes have their own ${dir}`, {
      hint: "set WEFT_CACHE to a directory elsewhere",
    });
  }
  return dir;
}

/** Paths and names of one cluster. */
export interface Layout {
  readonly name: string;
  readonly dir: string;
  /** Options as JSON; there while anything of the cluster may be. */
  readonly record: string;
  readonly pki: string;
  readonly logs: string;
  readonly pids: string;
  readonly kubeconfig: string;
  /** Outer network namespace: the control plane and the node network's bridge. */
  readonly netns: string;
  readonly outsideNetns: string;
  readonly nodeNetns: (node: string) => string;
  /** Below the root of every cgroup hierarchy. */
  readonly cgroup: string;
  readonly nodeDir: (node: string) => string;
}

export function layoutOf(name: string): Layout {
  const dir = join(cacheDir(), "clusters", name);
  const prefix = `weft-k8s-${name}`;
  return {
    name,
    dir,
    record: join(dir, "cluster.json"),
    pki: join(dir, "pki"),
    logs: join(dir, "logs"),
    pids: join(dir, "pids"),
    kubeconfig: join(dir, "pki/admin.conf"),
    netns: prefix,
    outsideNetns: `${prefix}-outside`,
    nodeNetns: (node) => `${prefix}-${node}`,
    cgroup: prefix,
    nodeDir: (node) => join(dir, "nodes", node),
  };
}
