// SPDX-License-Identifier: Apache-2.0

import { isIPv6 } from "node:net";
import { type Attempt, mayConnect, type Party } from "./manifest-oracle.ts";
import type { Dice, Manifest } from "./manifest-policies.ts";
import { outside, outsideV6, pods, type WorldPod } from "./manifest-world.ts";
import type { TestLab } from "./test-lab.ts";

/** Where the lab put the pods of manifest-world.ts. */
export interface Placement {
  readonly pods: readonly {
    readonly pod: WorldPod;
    readonly node: string;
    readonly addresses: readonly string[];
  }[];
  readonly nodes: readonly { readonly name: string; readonly addresses: readonly string[] }[];
}

/** Resolves when every pod has its addresses. @throws when that takes too long */
export async function readPlacement(lab: TestLab): Promise<Placement> {
  for (const endMs = Date.now() + 30_000; ; ) {
    const status = await lab.status();
    const found = status.pods.flatMap((one) => {
      const pod = pods.find(({ namespace, name }) => namespace === one.namespace && name === one.name);
      return pod && one.ready ? [{ pod, node: one.node, addresses: one.ips }] : [];
    });
    if (found.length === pods.length) return { pods: found, nodes: status.nodes };
    if (Date.now() > endMs) throw new Error(`only ${found.length} of ${pods.length} pods are ready`);
  }
}

const ports = { TCP: [80, 81, 82], UDP: [53, 80, 82], ICMP: [0] } as const;

/** A sample of everything that can be asked: `count` attempts from every pod. */
export function randomAttempts(d: Dice, placement: Placement, count: number): Attempt[] {
  const v6 = placement.nodes.some(({ addresses }) => addresses.some((one) => isIPv6(one)));
  const v4 = placement.nodes.some(({ addresses }) => addresses.some((one) => !isIPv6(one)));
  const away = [...(v4 ? outside : []), ...(v6 ? outsideV6 : [])];
  return placement.pods.flatMap(({ pod: from, node, addresses }) =>
    d.some(count, count, (): Attempt => {
      const protocol = d.pick(["TCP", "TCP", "UDP", "ICMP"] as const);
      const to = randomParty(d, placement, { away, node });
      const source = addresses.find((one) => isIPv6(one) === isIPv6(to.address))!;
      return { from, source, to, port: d.pick(ports[protocol]), protocol };
    }),
  );
}

function randomParty(
  d: Dice,
  placement: Placement,
  { away, node }: { away: readonly string[]; node: string },
): Party {
  const form = d.below(10);
  if (form < 2) return { kind: "outside", address: d.pick(away) };
  if (form === 2) {
    const to = d.pick(placement.nodes);
    return { kind: to.name === node ? "host" : "remote-node", address: d.pick(to.addresses) };
  }
  const { pod, addresses } = d.pick(placement.pods);
  return { kind: "pod", pod, address: d.pick(addresses) };
}

/** Asks the lab; the attempts whose answer is not the oracle's. */
export async function disagreements(
  lab: TestLab,
  policies: readonly Manifest[],
  attempts: readonly Attempt[],
): Promise<Attempt[]> {
  const questions = attempts.map(({ from, to, port, protocol }) => ({
    from: `${from.namespace}/${from.name}`,
    to: to.address,
    port,
    protocol,
  }));
  const answers = await lab.probe(["--questions", "-"], JSON.stringify(questions));
  return attempts.filter(
    (attempt, i) => answers[i]?.verdict !== (mayConnect(policies, attempt) ? "allow" : "deny"),
  );
}

export function attemptText(attempt: Attempt, policies: readonly Manifest[]): string {
  const { from, to, port, protocol } = attempt;
  const target =
    to.kind === "pod" ? `${to.pod.namespace}/${to.pod.name} (${to.address})` : `${to.kind} ${to.address}`;
  const expected = mayConnect(policies, attempt) ? "allow" : "deny";
  return `${from.namespace}/${from.name} → ${target} ${protocol}/${port}: must be ${expected}`;
}
