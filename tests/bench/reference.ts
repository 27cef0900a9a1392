// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import type { Path } from "./traffic.ts";

/** Paths without Weft to hold it against: a cable, the kernel's router, the kernel's VXLAN. */
const prefix = `weft-${process.env.WEFT_LAB || "bench"}-ref-`;

function ip(...args: string[]): void {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "pipe"] });
}

function netns(name: string): string {
  ip("netns", "add", prefix + name);
  ip("-n", prefix + name, "link", "set", "lo", "up");
  return prefix + name;
}

function cable(a: string, aDev: string, b: string, bDev: string): void {
  ip("link", "add", aDev, "netns", a, "type", "veth", "peer", "name", bDev, "netns", b);
  ip("-n", a, "link", "set", "dev", aDev, "up");
  ip("-n", b, "link", "set", "dev", bDev, "up");
}

function address(ns: string, dev: string, cidr: string): void {
  ip("-n", ns, "addr", "add", cidr, "dev", dev);
}

/** Lets a loop of short connections reuse its ports, as the pods' namespaces of the lab do. */
export function tune(ns: string): void {
  execFileSync("ip", [
    "netns",
    "exec",
    ns,
    "sysctl",
    "-qw",
    "net.ipv4.tcp_tw_reuse=1",
    "net.ipv4.ip_forward=1",
  ]);
}

function pathOf(name: string, server: string, client: string, listen: string): Path {
  return { name, serverNetns: `/run/netns/${server}`, clientNetns: `/run/netns/${client}`, listen };
}

/** One veth pair between two namespaces. `tag` keeps the control's second copy apart. */
export function directVeth(tag: string): Path {
  const a = netns(`d${tag}a`);
  const b = netns(`d${tag}b`);
  cable(a, "eth0", b, "eth0");
  address(a, "eth0", "10.99.0.1/24");
  address(b, "eth0", "10.99.0.2/24");
  tune(a);
  tune(b);
  return pathOf(tag === "" ? "direct veth" : `direct veth (${tag})`, b, a, "10.99.0.2:7700");
}

/** Two pods behind one node that routes, no filter rules. */
export function hostRouting(): Path {
  const [a, r, b] = [netns("ra"), netns("rr"), netns("rb")] as const;
  cable(a, "eth0", r, "poda");
  cable(b, "eth0", r, "podb");
  address(a, "eth0", "10.99.1.2/24");
  address(r, "poda", "10.99.1.1/24");
  address(b, "eth0", "10.99.2.2/24");
  address(r, "podb", "10.99.2.1/24");
  ip("-n", a, "route", "add", "default", "via", "10.99.1.1");
  ip("-n", b, "route", "add", "default", "via", "10.99.2.1");
  for (const ns of [a, r, b]) tune(ns);
  return pathOf("host routing", b, a, "10.99.2.2:7700");
}

/** A pod behind each of two nodes; between the nodes a routed network or the kernel's VXLAN over it. `tag` as above. */
export function twoNodes(kind: "routing" | "vxlan", tag = ""): Path {
  const t = `${kind === "vxlan" ? "x" : "n"}${tag}`;
  const pods = [netns(`${t}p1`), netns(`${t}p2`)];
  const nodes = [netns(`${t}n1`), netns(`${t}n2`)];
  const world = netns(`${t}w`);
  ip("-n", world, "link", "add", "br0", "type", "bridge");
  ip("-n", world, "link", "set", "br0", "up");
  for (const i of [0, 1]) {
    const [node, pod, me, other] = [nodes[i]!, pods[i]!, i + 1, 2 - i];
    cable(node, "eth0", world, `n${me}`);
    ip("-n", world, "link", "set", `n${me}`, "master", "br0");
    address(node, "eth0", `10.99.9.${me}/24`);
    cable(pod, "eth0", node, "pod");
    address(pod, "eth0", `10.99.1${me}.2/24`);
    address(node, "pod", `10.99.1${me}.1/24`);
    ip("-n", pod, "route", "add", "default", "via", `10.99.1${me}.1`);
    if (kind === "routing") ip("-n", node, "route", "add", `10.99.1${other}.0/24`, "via", `10.99.9.${other}`);
    else {
      ip(
        "-n",
        node,
        "link",
        "add",
        "vx",
        "type",
        "vxlan",
        "id",
        "7",
        "dstport",
        "8472",
        "remote",
        `10.99.9.${other}`,
        "local",
        `10.99.9.${me}`,
        "dev",
        "eth0",
      );
      ip("-n", node, "link", "set", "vx", "up", "mtu", "1450");
      address(node, "vx", `10.99.8.${me}/24`);
      ip("-n", node, "route", "add", `10.99.1${other}.0/24`, "via", `10.99.8.${other}`);
      ip("-n", pod, "link", "set", "eth0", "mtu", "1450");
    }
  }
  for (const ns of [...pods, ...nodes]) tune(ns);
  const name = kind === "vxlan" ? "kernel VXLAN" : "kernel routing across nodes";
  return pathOf(tag === "" ? name : `${name} (${tag})`, pods[1]!, pods[0]!, "10.99.12.2:7700");
}

/** Removes every namespace these paths made, also those of a run that was killed. */
export function removeReferences(): void {
  const names = execFileSync("ip", ["netns", "list"], { encoding: "utf8" });
  for (const line of names.split("\n")) {
    const name = line.split(" ")[0]!;
    if (name.startsWith(prefix)) ip("netns", "del", name);
  }
}
