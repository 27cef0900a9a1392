// SPDX-License-Identifier: Apache-2.0
import type { Figure } from "./stats.ts";

/** What the project wants to reach, by figure. */
interface Aim {
  readonly text: string;
  met(value: number): boolean;
}

const atLeast = (limit: number): Aim => ({ text: `≥ ${limit}`, met: (value) => value >= limit });
const atMost = (limit: number): Aim => ({ text: `≤ ${limit}`, met: (value) => value <= limit });

/** Where a figure is held against several others, the last says which of them is meant. */
const aims: readonly (readonly [name: string, unit: string, aim: Aim, control?: string])[] = [
  ["pods of one node: tcp_rr rate", "ratio", atLeast(0.88)],
  ["pods of one node: tcp_crr rate", "ratio", atLeast(0.8)],
  ["pods of one node, past the network: tcp_rr rate", "ratio", atLeast(1.3)],
  ["pods across nodes, VXLAN: tcp_rr rate", "ratio", atLeast(0.9)],
  ["pods across nodes, VXLAN: tcp_crr rate", "ratio", atLeast(0.8)],
  ["ClusterIP: tcp_rr CPU per operation", "ratio", atMost(1.05)],
  ["CNI ADD alone: p50", "ms", atMost(30)],
  ["CNI ADD, 40 at once: p50", "ms", atMost(100)],
  ["endpoint change to first packet on the new backend: p50", "ms", atMost(20)],
  ["policy created to enforced: p50", "ms", atMost(50)],
  ["policy deleted to lifted: p50", "ms", atMost(50)],
  ["agent, new node: exec to ready", "ms", atMost(1000)],
  ["agent, new node: exec to first pod attached", "ms", atMost(1000)],
  ["agent, no pods: RSS", "MB", atMost(120)],
  ["agent, 100 pods: RSS", "MB", atMost(130)],
  ["agent, no pods: CPU when idle", "% of a core", atMost(0.5)],
  ["agent, 100 pods: CPU when idle", "% of a core", atMost(0.5)],
  ["BPF maps of a node with 100 pods, default sizes", "MB", atMost(64)],
  ["policy, a pod with a new identity elsewhere: CPU", "ms", atMost(5)],
  ["policy, one over 1,000 identities: p50", "ms", atMost(100)],
  ["policy, heap with 65,000 identities and 100,000 addresses", "MB", atMost(300)],
  ["flow events taken without loss, highest of the run", "events/s", atLeast(100_000)],
  ["Weft, 10,000 services: tcp_rr rate", "ratio", atLeast(0.9), "direct veth"],
  ["Weft, 10,000 services: tcp_crr rate", "ratio", atLeast(0.9), "direct veth"],
  [
    "Weft, 10,000 services: tcp_crr rate",
    "ratio",
    atLeast(1.9),
    "kube-proxy iptables, late rule, 10,000 services",
  ],
  ["Weft, 10,000 services: tcp_crr rate", "ratio", atLeast(1.25), "kube-proxy nftables, 10,000 services"],
  [
    "Weft, 10,000 services: from empty to all services, CPU",
    "ratio",
    atMost(0.1),
    "kube-proxy iptables, 10,000 services",
  ],
  [
    "Weft at XDP, 1,000 services: known flows, CPU per packet",
    "ratio",
    atMost(0.2),
    "kube-proxy iptables, 1,000 services",
  ],
  [
    "Weft at XDP, 1,000 services: a new flow per packet, CPU per packet",
    "ratio",
    atMost(0.1),
    "kube-proxy iptables, 1,000 services",
  ],
  [
    "Weft at XDP, 1,000 services: known flows, CPU per packet",
    "ratio",
    atMost(2.2),
    "XDP_TX alone, 1,000 services",
  ],
  ["Weft, 10,000 services: heap of the agent", "MB", atMost(200)],
  ["Weft, 10,000 services: endpoint change to first packet on the new backend: p50", "ms", atMost(20)],
];

export function aimOf({ name, unit, control }: Pick<Figure, "name" | "unit" | "control">): Aim | undefined {
  return aims.find(
    ([of, , , to], i) => of === name && aims[i]![1] === unit && (to === undefined || to === control),
  )?.[2];
}
