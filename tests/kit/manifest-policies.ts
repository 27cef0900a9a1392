// SPDX-License-Identifier: Apache-2.0

/** Random policies as manifests, of both kinds, about the cluster of manifest-world.ts. A seed gives the same ones again. */

export type Manifest = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec: Record<string, unknown>;
};

export interface Dice {
  /** An integer of [0, n). */
  below(n: number): number;
  pick<T>(list: readonly T[]): T;
  /** True once in `n` times. */
  oneIn(n: number): boolean;
  some<T>(least: number, most: number, make: () => T): T[];
}

/** Mulberry32. */
export function dice(seed: number): Dice {
  let state = seed >>> 0;
  const below = (n: number) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % n;
  };
  return {
    below,
    pick: (list) => list[below(list.length)]!,
    oneIn: (n) => below(n) === 0,
    some: (least, most, make) => Array.from({ length: least + below(most - least + 1) }, make),
  };
}

const podExpressions = [
  { key: "app", operator: "In", values: ["a", "b"] },
  { key: "app", operator: "NotIn", values: ["b"] },
  { key: "canary", operator: "Exists" },
  { key: "canary", operator: "DoesNotExist" },
  { key: "canary", operator: "NotIn", values: ["no"] },
  { key: "tier", operator: "In", values: ["front"] },
] as const;
const spaceExpressions = [
  { key: "team", operator: "In", values: ["red"] },
  { key: "env", operator: "NotIn", values: ["dev"] },
  { key: "kubernetes.io/metadata.name", operator: "In", values: ["x", "z"] },
  { key: "env", operator: "Exists" },
] as const;
const cidrs = [
  "0.0.0.0/0",
  "203.0.113.0/24",
  "203.0.113.5/32",
  "198.51.100.0/24",
  "10.0.0.0/8",
  "10.244.1.0/24",
  "10.244.2.2/31",
  "::/0",
  "2001:db8::/32",
  "2001:db8::5/128",
] as const;
const holes: Readonly<Record<string, readonly string[]>> = {
  "0.0.0.0/0": ["203.0.113.0/24", "203.0.113.64/26", "10.0.0.0/8"],
  "10.0.0.0/8": ["10.244.1.0/24", "10.244.2.2/31", "10.244.1.3/32"],
  "203.0.113.0/24": ["203.0.113.5/32", "203.0.113.64/26"],
  "::/0": ["2001:db8::/64", "2001:db8:1::/48"],
  "2001:db8::/32": ["2001:db8::/48"],
};

export function podSelector(d: Dice): object {
  const form = d.below(5);
  if (form === 0) return {};
  if (form <= 2)
    return { matchLabels: d.pick([{ app: "a" }, { app: "b" }, { tier: "front" }, { canary: "yes" }]) };
  if (form === 3) return { matchExpressions: [d.pick(podExpressions)] };
  return { matchLabels: { tier: d.pick(["front", "back"]) }, matchExpressions: [d.pick(podExpressions)] };
}

function spaceSelector(d: Dice): object {
  const form = d.below(4);
  if (form === 0) return {};
  if (form === 1) return { matchLabels: d.pick([{ team: "red" }, { env: "prod" }, { team: "blue" }]) };
  return { matchExpressions: [d.pick(spaceExpressions)] };
}

function block(d: Dice): { cidr: string; except?: string[] } {
  const cidr = d.pick(cidrs);
  const possible = holes[cidr];
  return possible && d.oneIn(2) ? { cidr, except: d.some(1, 2, () => d.pick(possible)) } : { cidr };
}

function networkPeer(d: Dice): object {
  const form = d.below(5);
  if (form === 0) return { podSelector: podSelector(d) };
  if (form === 1) return { namespaceSelector: spaceSelector(d) };
  if (form <= 3) return { ipBlock: block(d) };
  return { namespaceSelector: spaceSelector(d), podSelector: podSelector(d) };
}

function networkPort(d: Dice): object {
  const protocol = d.pick(["TCP", "TCP", "UDP"]);
  const form = d.below(7);
  if (form === 0) return { protocol };
  if (form === 1) return { port: d.pick(["http", "alt", "game", "absent"]), protocol };
  if (form === 2) return { port: 79, endPort: d.pick([80, 81, 82, 65535]), protocol };
  if (form === 3) return { port: d.pick([80, 81]) };
  return { port: d.pick([53, 80, 81, 82]), protocol };
}

export function networkPolicy(d: Dice, name: string): Manifest {
  const rules = (field: "from" | "to") => {
    const one = () => ({
      ...(!d.oneIn(4) && { [field]: d.some(1, 2, () => networkPeer(d)) }),
      ...(!d.oneIn(3) && { ports: d.some(1, 2, () => networkPort(d)) }),
    });
    return d.some(0, 2, one);
  };
  const types = d.pick([["Ingress"], ["Egress"], ["Ingress", "Egress"]]);
  const spec: Record<string, unknown> = { podSelector: podSelector(d), policyTypes: types };
  if (types.includes("Ingress")) spec.ingress = rules("from");
  if (types.includes("Egress")) spec.egress = rules("to");
  // Without policyTypes the presence of egress rules decides.
  if (d.oneIn(4) && ((spec.egress as unknown[] | undefined)?.length ?? 0) > 0) delete spec.policyTypes;
  const metadata = { name, namespace: d.pick(["x", "y", "z"]) };
  return { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", metadata, spec };
}

function endpoints(d: Dice): object {
  const form = d.below(6);
  const space = "k8s:io.kubernetes.pod.namespace";
  if (form === 0) return { matchLabels: { [space]: d.pick(["x", "y", "z"]) } };
  if (form === 1) return { matchLabels: { [space]: d.pick(["x", "y", "z"]), app: d.pick(["a", "b"]) } };
  if (form === 2) return { matchLabels: { "k8s:io.cilium.k8s.namespace.labels.team": "red" } };
  if (form === 3)
    return { matchExpressions: [{ key: space, operator: "In", values: ["y", "z"] }, d.pick(podExpressions)] };
  return podSelector(d);
}

function ciliumPeers(d: Dice, side: "from" | "to"): object {
  switch (d.below(6)) {
    case 0:
      return {};
    case 1:
    case 2:
      return { [`${side}Endpoints`]: d.oneIn(8) ? [] : d.some(1, 2, () => endpoints(d)) };
    case 3:
      return { [`${side}CIDR`]: d.some(1, 2, () => d.pick([...cidrs, "203.0.113.77"])) };
    case 4:
      return { [`${side}CIDRSet`]: d.some(1, 2, () => block(d)) };
    default: {
      const names = ["all", "world", "cluster", "host", "remote-node", "none", "world-ipv4", "world-ipv6"];
      return { [`${side}Entities`]: d.some(1, 2, () => d.pick(names)) };
    }
  }
}

function ciliumPorts(d: Dice): object {
  const form = d.below(6);
  if (form <= 1) return {};
  if (form === 2) {
    const v6 = d.oneIn(3);
    const type = d.pick(v6 ? [128, "EchoRequest", 1] : [8, "EchoRequest", 0, "13"]);
    return { icmps: [{ fields: [{ ...((v6 || d.oneIn(2)) && { family: v6 ? "IPv6" : "IPv4" }), type }] }] };
  }
  const port = () => {
    const protocol = d.pick(["TCP", "UDP", "ANY"]);
    switch (d.below(6)) {
      case 0:
        return { port: d.pick(["http", "game"]), protocol: d.pick(["TCP", "UDP"]) };
      case 1:
        return { port: "79", endPort: d.pick([80, 81, 82, 65535]), protocol };
      case 2:
        return { port: "0", protocol };
      case 3:
        return { port: d.pick(["80", "81"]) };
      default:
        return { port: d.pick(["53", "80", "81", "82"]), protocol };
    }
  };
  return { toPorts: d.some(1, 2, () => ({ ports: d.some(1, 2, port) })) };
}

export function ciliumPolicy(d: Dice, name: string): Manifest {
  const wide = d.oneIn(4);
  const rule = (side: "from" | "to") => ({ ...ciliumPeers(d, side), ...ciliumPorts(d) });
  const part = (): Record<string, unknown> => {
    const spec: Record<string, unknown> = { endpointSelector: podSelector(d) };
    if (!d.oneIn(3)) spec.ingress = d.some(0, 2, () => rule("from"));
    if (d.oneIn(4)) spec.ingressDeny = d.some(1, 2, () => rule("from"));
    if (!d.oneIn(3)) spec.egress = d.some(0, 2, () => rule("to"));
    if (d.oneIn(4)) spec.egressDeny = d.some(1, 2, () => rule("to"));
    const sections = ["ingress", "ingressDeny", "egress", "egressDeny"];
    if (!sections.some((section) => section in spec)) spec.ingress = [rule("from")];
    if (d.oneIn(4)) spec.enableDefaultDeny = { [d.pick(["ingress", "egress"])]: d.oneIn(2) };
    return spec;
  };
  return {
    apiVersion: "cilium.io/v2",
    kind: wide ? "CiliumClusterwideNetworkPolicy" : "CiliumNetworkPolicy",
    metadata: wide ? { name } : { name, namespace: d.pick(["x", "y", "z"]) },
    spec: part(),
  };
}
