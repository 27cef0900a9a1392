// SPDX-License-Identifier: Apache-2.0
/** A plain pod network for comparison: the bridge plugin on every node, and routes between the nodes. */
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Cluster } from "./cluster.ts";
import { ip } from "./network.ts";
import { nodeAddress } from "./shape.ts";

interface NodePods {
  readonly node: string;
  readonly podCidrs: readonly string[];
}

export async function listPodCidrs(cluster: Cluster): Promise<NodePods[]> {
  const list = JSON.parse(await cluster.kubectl(["get", "nodes", "-o", "json"])) as {
    items: { metadata: { name: string }; spec: { podCIDRs?: string[] } }[];
  };
  return list.items.map(({ metadata, spec }) => ({ node: metadata.name, podCidrs: spec.podCIDRs ?? [] }));
}

/** Arguments of `ip` for routes to the pods of a node by its address. */
export function routesTo(cluster: Cluster, node: string, podCidrs: readonly string[]): string[] {
  const address = nodeAddress(cluster.nodes.indexOf(node) + 1);
  return podCidrs.map((cidr) =>
    cidr.includes(":")
      ? `-6 route replace ${cidr} via ${address.v6}`
      : `route replace ${cidr} via ${address.v4}`,
  );
}

/** Gives every node a CNI configuration for its pod CIDRs and the routes to the others'. */
export async function setUpStandIn(cluster: Cluster): Promise<void> {
  const { layout } = cluster;
  for (const { node, podCidrs } of await listPodCidrs(cluster)) {
    const routes = routesTo(cluster, node, podCidrs);
    for (const other of cluster.nodes) if (other !== node) await ip(layout.nodeNetns(other), routes);
    const dir = join(layout.nodeDir(node), "etc-cni/net.d");
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, ".10-bridge.conflist"), JSON.stringify(conflist(podCidrs), null, 2));
    renameSync(join(dir, ".10-bridge.conflist"), join(dir, "10-bridge.conflist"));
  }
}

function conflist(podCidrs: readonly string[]): object {
  const routes = podCidrs.map((cidr) => ({ dst: cidr.includes(":") ? "::/0" : "0.0.0.0/0" }));
  const ranges = podCidrs.map((subnet) => [{ subnet }]);
  const ipam = { type: "host-local", ranges, routes };
  const bridge = { type: "bridge", bridge: "cni0", isGateway: true, hairpinMode: true, mtu: 1500, ipam };
  const portmap = { type: "portmap", capabilities: { portMappings: true } };
  return { cniVersion: "0.4.0", name: "bridge", plugins: [bridge, portmap] };
}
