// SPDX-License-Identifier: Apache-2.0
/** Nodes that the bench adds to a lab: a namespace in the fabric, a Node in the API. */
import { execFileSync } from "node:child_process";
import { resources } from "#k8s/resource.ts";
import { createNetns, deleteNetns } from "#kernel/netns.ts";
import type { BenchLab } from "./lab.ts";

/** Runs iproute2. @throws Error */
export function ip(...args: string[]): void {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "inherit"] });
}

/** A node the bench makes by itself. */
export interface Place {
  /** Of everything the lab has. */
  readonly prefix: string;
  readonly node: string;
  readonly index: number;
}

export const netnsName = ({ prefix, node }: Place) => `${prefix}-${node}`;
export const fabricAddress = (index: number) => `172.30.0.${index}`;
/** The node's namespace with `eth0` in the lab's fabric; what an earlier run left of it goes first. */
export function plug(place: Place): void {
  const { prefix, node, index } = place;
  const name = netnsName(place);
  deleteNetns(name);
  createNetns(name);
  ip("link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", node, "netns", `${prefix}-world`);
  ip("-n", `${prefix}-world`, "link", "set", node, "up", "master", "fabric");
  ip("-n", name, "link", "set", "lo", "up");
  ip("-n", name, "addr", "add", `${fabricAddress(index)}/24`, "dev", "eth0");
  ip("-n", name, "link", "set", "eth0", "up");
}

/** The fabric's gateway is the way to everything. */
export function routeByFabric(place: Place): void {
  ip("-n", netnsName(place), "route", "add", "default", "via", "172.30.0.1");
}

/** Where a node meets clients that are not of the cluster, and the pods of other nodes. */
export interface Outside {
  /** The node's own address there. */
  readonly address: string;
  /** Of the node, and of the other end in the namespace outside. */
  readonly device: string;
  readonly netns: string;
  /** Hardware addresses of both ends. */
  readonly nodeMac: string;
  readonly mac: string;
}

/** Of a node and of the other end. */
export const outsideDevice = "wire0";

/** A device of the node that is its way to everything but the fabric. Nobody at its other end answers. */
export function addOutside(place: Place): Outside {
  const [name, device] = [netnsName(place), outsideDevice];
  const netns = `${name}-o`;
  const hex = place.index.toString(16).padStart(2, "0");
  const [nodeMac, mac] = [`02:00:00:00:${hex}:02`, `02:00:00:00:${hex}:01`];
  const [address, gateway] = [`10.200.${place.index}.2`, `10.200.${place.index}.1`];
  deleteNetns(netns);
  createNetns(netns);
  const peer = ["type", "veth", "peer", "name", device, "address", mac, "netns", netns];
  ip("link", "add", device, "address", nodeMac, "netns", name, ...peer);
  ip("-n", netns, "addr", "add", `${gateway}/24`, "dev", device);
  ip("-n", netns, "link", "set", device, "up");
  // Wide enough for the addresses of the other nodes: those are next hops of the routes to their pods.
  ip("-n", name, "addr", "add", `${address}/16`, "dev", device);
  ip("-n", name, "link", "set", device, "up");
  ip("-n", name, "neigh", "replace", gateway, "lladdr", mac, "dev", device, "nud", "permanent");
  ip("-n", name, "route", "add", "default", "via", gateway);
  return { address, device, netns, nodeMac, mac };
}

interface Registration {
  readonly place: Place;
  /** What the node is known by. */
  readonly address: string;
  readonly signal: AbortSignal;
}

export async function register(
  { client }: BenchLab,
  { place, address, signal }: Registration,
): Promise<void> {
  const { node, index } = place;
  const podCIDR = `10.244.${index}.0/24`;
  const object = {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: node, labels: { "kubernetes.io/hostname": node } },
    spec: { podCIDR, podCIDRs: [podCIDR], unschedulable: true },
  };
  await client.create(resources.nodes, object, { signal });
  const body = { status: { addresses: [{ type: "InternalIP", address }] } };
  await client.patch(
    resources.nodes,
    { name: node },
    { type: "merge", body },
    { subresource: "status", signal },
  );
}
