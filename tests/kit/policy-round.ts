// SPDX-License-Identifier: Apache-2.0

import { isIPv6 } from "node:net";
import { attemptText } from "../policy/agreement.ts";
import type { Cluster, ClusterNode, Manifest, Pod } from "../policy/oracle/cluster.ts";
import { mayConnect } from "../policy/oracle/oracle.ts";
import type { Attempt } from "../policy/oracle/side.ts";
import type { Dice } from "./dice.ts";
import { namespaces, outside, outsideV6, pods } from "./manifest-world.ts";
import type { TestLab } from "./test-lab.ts";

/** The cluster of manifest-world.ts as the lab placed it. Resolves when every pod has its addresses. @throws when that takes too long */
export async function readPlacement(lab: TestLab): Promise<Cluster> {
  for (const endMs = Date.now() + 30_000; ; ) {
    const status = await lab.status();
    const found = status.pods.flatMap((one): Pod[] => {
      const pod = pods.find(({ namespace, name }) => namespace === one.namespace && name === one.name);
      return pod && one.ready
        ? [{ ...pod, serviceAccount: "default", node: one.node, addresses: one.ips }]
        : [];
    });
    const nodes = status.nodes.map(({ name, addresses }): ClusterNode => ({ name, labels: {}, addresses }));
    if (found.length === pods.length) return { nodes, namespaces, pods: found, apiServers: [], referred: [] };
    if (Date.now() > endMs) throw new Error(`only ${found.length} of ${pods.length} pods are ready`);
  }
}

const ports = { TCP: [80, 81, 82], UDP: [53, 80, 82] } as const;

/** A sample of everything that can be asked: `count` attempts from every pod. */
export function randomAttempts(d: Dice, cluster: Cluster, count: number): Attempt[] {
  const everybody = [
    ...cluster.pods.flatMap(({ addresses }) => addresses),
    ...cluster.nodes.flatMap(({ addresses }) => addresses),
    ...outside,
    ...outsideV6,
  ];
  return cluster.pods.flatMap(({ addresses }) =>
    d.times(count, (): Attempt => {
      const protocol = d.pick(["TCP", "TCP", "UDP", "ICMP"] as const);
      const to = d.pick(everybody);
      const from = addresses.find((one) => isIPv6(one) === isIPv6(to))!;
      const port = protocol === "ICMP" ? (isIPv6(to) ? 128 : 8) : d.pick(ports[protocol]);
      return { from, to, port, protocol };
    }),
  );
}

/**
 * A sample of what the nodes themselves ask, of each other and of the outside, and what the outside asks them: `count` from each. The lab's
 * outside asks by IPv4.
 */
export function nodeAttempts(d: Dice, { nodes }: Cluster, count: number): Attempt[] {
  const own = nodes.map(({ addresses }) => addresses);
  const senders = [
    ...own.map((from) => ({ from, to: [...outside, ...outsideV6, ...own.flat()] })),
    { from: outside, to: own.flat().filter((address) => !isIPv6(address)) },
  ];
  return senders.flatMap(({ from, to }) =>
    d.times(count, (): Attempt => {
      const target = d.pick(to.filter((address) => !from.includes(address)));
      const source = d.pick(from.filter((one) => isIPv6(one) === isIPv6(target)));
      const protocol = d.pick(["TCP", "UDP", "ICMP"] as const);
      const port = protocol === "ICMP" ? (isIPv6(target) ? 128 : 8) : d.pick(ports[protocol]);
      return { from: source, to: target, port, protocol };
    }),
  );
}

/** Asks the lab; what differs from the oracle, leaving out what the references leave open. */
export async function disagreements(
  lab: TestLab,
  { cluster, policies }: { readonly cluster: Cluster; readonly policies: readonly Manifest[] },
  attempts: readonly Attempt[],
): Promise<Attempt[]> {
  const nameOf = (address: string) => {
    const pod = cluster.pods.find(({ addresses }) => addresses.includes(address));
    return pod ? `${pod.namespace}/${pod.name}` : address;
  };
  const questions = attempts.map(({ from, to, port, protocol }) => ({
    from: nameOf(from),
    to,
    protocol,
    ...(protocol !== "ICMP" && { port }),
  }));
  // A denial shows by silence; what is silent for longer on a busy machine is asked again.
  const asking = ["--questions", "-", "--timeout", "0.6"];
  const answers = await lab.probe(asking, JSON.stringify(questions));
  return attempts.filter((attempt, index) => {
    const wanted = mayConnect(cluster, policies, attempt);
    return wanted !== undefined && answers[index]?.verdict !== (wanted ? "allow" : "deny");
  });
}

export function wantedText(cluster: Cluster, policies: readonly Manifest[], attempt: Attempt): string {
  return `${attemptText(attempt)}: must be ${mayConnect(cluster, policies, attempt) ? "allow" : "deny"}`;
}
