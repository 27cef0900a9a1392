// SPDX-License-Identifier: Apache-2.0
import { type Address, hostPrefix, type Prefix } from "#model/ip.ts";
import type { Peer, PortRange, Rule } from "./rule.ts";
import { aboutHost } from "./selector.ts";

/** What no policy of a node may deny it. */
export interface NeverLockOut {
  /** TCP ports of API servers, to and from which the way stays open; absent: it may be closed. */
  readonly apiServerPorts?: readonly number[];
  /** Of an API server that is none of the cluster's own addresses, as a load balancer before them. */
  readonly apiServerAddress?: Address;
  /** TCP ports of the node, as SSH's, that stay open … */
  readonly ports: readonly number[];
  /** … to these; none: to anyone. */
  readonly cidrs: readonly Prefix[];
}

const tcp = 6;
/** Before every rule of the admin tier. */
const priority = -1;

/** Rules that come before all others, of policies that select the node. */
export function neverLockOutRules(settings: NeverLockOut): Rule[] {
  const { apiServerPorts = [], apiServerAddress, ports, cidrs } = settings;
  const block = (prefix: Prefix): Peer => ({ kind: "block", prefix, except: [] });
  const apiServers: Peer[] = [
    { kind: "entity", entity: "kube-apiserver" },
    ...(apiServerAddress ? [block(hostPrefix(apiServerAddress))] : []),
  ];
  return [
    ...rule("egress", apiServers, apiServerPorts),
    ...rule("ingress", undefined, apiServerPorts),
    ...rule("ingress", cidrs.length > 0 ? cidrs.map(block) : undefined, ports),
  ].map((what, index): Rule => ({ ...what, origin: { ...origin, index } }));
}

const origin = { kind: "Implicit", namespace: "", name: "never-lock-out", uid: "", index: 0 } as const;

function rule(direction: Rule["direction"], peers: Rule["peers"], numbers: readonly number[]): Rule[] {
  if (numbers.length === 0) return [];
  const ports = numbers.map((port): PortRange => ({ proto: tcp, first: port, last: port }));
  const place = { tier: "admin", priority, action: "allow", defaultDeny: false } as const;
  return [{ origin, subject: { requirements: [aboutHost] }, direction, ...place, peers, ports }];
}
