// SPDX-License-Identifier: Apache-2.0
/** The node network: a bridge in a network namespace of the cluster's own, so that the machine's stays as it is. */
import { existsSync } from "node:fs";
import { netnsPath } from "#kernel/netns.ts";
import { command, tryCommand } from "./command.ts";
import { addresses, type ClusterOptions, type Layout } from "./shape.ts";

/** An argument list that runs `argv` in a network namespace; unlike `ip netns exec` it leaves the mounts alone. */
export function inNamespace(netns: string, argv: readonly string[]): string[] {
  return ["nsenter", `--net=${netnsPath(netns)}`, "--", ...argv];
}

/** Makes the outer namespace with the bridge and the API server's addresses, and the host outside. */
export async function createNetwork(layout: Layout, options: ClusterOptions): Promise<void> {
  await command(["ip", "netns", "add", layout.netns]);
  const { v4, v6 } = addresses.gateway;
  await ip(layout.netns, [
    "link set lo up",
    "link add br0 type bridge forward_delay 0 mcast_snooping 0",
    `addr add ${v4}/24 dev br0`,
    ...(options.families === "dual" ? [`addr add ${v6}/64 dev br0 nodad`] : []),
    "link set br0 up",
  ]);
  await sysctl(layout.netns, ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]);
  await createHost(layout, options, layout.outsideNetns, { port: "outside", ...addresses.outside });
}

/** Makes the network namespace of a host and plugs its eth0 into the bridge. */
export async function createHost(
  layout: Layout,
  options: ClusterOptions,
  netns: string,
  host: { readonly port: string; readonly v4: string; readonly v6: string },
): Promise<void> {
  const dual = options.families === "dual";
  await command(["ip", "netns", "add", netns]);
  await ip(layout.netns, [
    `link add ${host.port} type veth peer name eth0 netns ${netns}`,
    `link set ${host.port} master br0 up`,
  ]);
  await ip(netns, [
    "link set lo up",
    `addr add ${host.v4}/24 dev eth0`,
    ...(dual ? [`addr add ${host.v6}/64 dev eth0 nodad`] : []),
    "link set eth0 up",
    `route add default via ${addresses.gateway.v4}`,
    ...(dual ? [`-6 route add default via ${addresses.gateway.v6}`] : []),
  ]);
}

/** Takes away a host's namespace and its port. Nothing happens when there is none. */
export async function deleteHost(layout: Layout, netns: string, port: string): Promise<void> {
  if (existsSync(netnsPath(netns))) await command(["ip", "netns", "del", netns]);
  // The namespace goes when its last user does; the port must not wait for that.
  if (existsSync(netnsPath(layout.netns))) {
    await tryCommand(["ip", "-n", layout.netns, "link", "del", port]);
  }
}

/** Takes away network namespaces; their devices go with them. */
export async function deleteNamespaces(names: readonly string[]): Promise<void> {
  for (const name of names) await command(["ip", "netns", "del", name]);
}

/** Runs `ip` commands in a namespace, in one process. @throws WeftError E_COMMAND at the first that fails */
export async function ip(netns: string, commands: readonly string[]): Promise<void> {
  for (const family of ["-4", "-6"]) {
    const lines = commands
      .filter((line) => line.startsWith("-6 ") === (family === "-6"))
      .map((line) => line.replace(/^-6 /, ""));
    if (lines.length === 0) continue;
    const args = family === "-6" ? ["-6"] : [];
    await command(["ip", "-n", netns, ...args, "-batch", "-"], { input: `${lines.join("\n")}\n` });
  }
}

export async function sysctl(netns: string, settings: readonly string[]): Promise<void> {
  await command(inNamespace(netns, ["sysctl", "-qw", ...settings]));
}
