// SPDX-License-Identifier: Apache-2.0
/** A plain pod network for comparison: the bridge plugin on every node, and routes between the nodes. */
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Cluster } from "./cluster.ts";
import { ip } from "./network.ts";
import { nodeAddress } from "./shape.ts";

/** Gives every node a CNI configuration for its pod CIDRs and the routes to the others'. */
export async function setUpStandIn(cluster: Cluster): Promise<void> {
  const { layout } = cluster;
  const list = JSON.parse(await cluster.kubectl(["get", "nodes", "-o", "json"])) as {
    items: { metadata: { name: string }; spec: { podCIDRs: string[] } }[];
  };
  const hosts = [layout.netns, ...cluster.nodes.map(layout.nodeNetns)];
  for (const { metadata, spec } of list.items) {
    const own = layout.nodeNetns(metadata.name);
    const address = nodeAddress(cluster.nodes.indexOf(metadata.name) + 1);
    const routes = spec.podCIDRs.map((cidr) =>
      cidr.includes(":")
        ? `-6 route replace ${cidr} via ${address.v6}`
        : `route replace ${cidr} via ${address.v4}`,
    );
    for (const host of hosts) if (host !== own) await ip(host, routes);
    const dir = join(layout.nodeDir(metadata.name), "etc-cni/net.d");
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, ".10-bridge.conflist"), JSON.stringify(conflist(spec.podCIDRs), null, 2));
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
