// SPDX-License-Identifier: Apache-2.0
/** How long a change in the API server takes to reach the wire. */
import { setTimeout as delay } from "node:timers/promises";
import { type Resource, resources } from "#k8s/resource.ts";
import type { BenchContext, BenchPart } from "./context.ts";
import { type BenchLab, endpointSlice, startLab } from "./lab.ts";
import { startProber } from "./prober.ts";
import { type Figure, latency } from "./stats.ts";

const defaultRounds = 30;
const namespace = "bench";

/** Waits a random while: changes must not keep step with anything periodic. */
async function settle(signal: AbortSignal): Promise<void> {
  await delay(80 + Math.random() * 170, undefined, { signal });
}

export interface Event {
  /** Who answers once it is on the wire. */
  readonly letter: string;
  apply(): Promise<unknown>;
}

/** Applies the events in turn; milliseconds from before the request was sent to the first datagram that fared by it. */
export async function times(
  prober: ReturnType<typeof startProber>,
  events: readonly Event[],
  options: { rounds: number; signal: AbortSignal },
): Promise<number[][]> {
  const taken: number[][] = events.map(() => []);
  for (let round = 0; round < options.rounds; round++) {
    for (const [index, { letter, apply }] of events.entries()) {
      await settle(options.signal);
      const startNs = process.hrtime.bigint();
      const [atNs] = await Promise.all([prober.until(letter, startNs), apply()]);
      taken[index]!.push(Number(atNs - startNs) / 1e6);
    }
  }
  return taken;
}

async function endpointChanges(lab: BenchLab, context: BenchContext, rounds: number): Promise<Figure[]> {
  const { signal } = context;
  const [a, b] = [lab.pod("near"), lab.pod("far")];
  await lab.client.create(resources.endpointSlices, endpointSlice("moving", a.ip, 7701), { signal });
  await using prober = startProber({
    client: { netns: lab.pod("client").netns, cgroup: lab.cgroup("n1") },
    connect: "10.96.77.2:80",
    servers: [
      { netns: a.netns, listen: `${a.ip}:7701`, letter: "A" },
      { netns: b.netns, listen: `${b.ip}:7701`, letter: "B" },
    ],
  });
  await prober.until("A", 0n);
  const to = (ip: string) => () =>
    lab.client.patch(
      resources.endpointSlices,
      { namespace, name: "moving" },
      { type: "merge", body: { endpoints: endpointSlice("moving", ip, 7701).endpoints } },
      { signal },
    );
  const taken = await times(
    prober,
    [
      { letter: "B", apply: to(b.ip) },
      { letter: "A", apply: to(a.ip) },
    ],
    { rounds: Math.ceil(rounds / 2), signal },
  );
  return latency("endpoint change to first packet on the new backend", taken.flat());
}

const denyAll = {
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name: "deny", namespace },
  spec: { podSelector: { matchLabels: { app: "near" } }, policyTypes: ["Ingress"] },
};

async function policyChanges(lab: BenchLab, context: BenchContext, rounds: number): Promise<Figure[]> {
  const { signal } = context;
  const policies: Resource = resources.networkPolicies;
  const near = lab.pod("near");
  await using prober = startProber({
    client: { netns: lab.pod("client").netns, cgroup: lab.cgroup("n1") },
    connect: `${near.ip}:7701`,
    servers: [{ netns: near.netns, listen: `${near.ip}:7701`, letter: "A" }],
  });
  await prober.until("A", 0n);
  const [enforced, lifted] = await times(
    prober,
    [
      { letter: "-", apply: () => lab.client.create(policies, denyAll, { signal }) },
      { letter: "A", apply: () => lab.client.delete(policies, { namespace, name: "deny" }, { signal }) },
    ],
    { rounds, signal },
  );
  return [
    ...latency("policy created to enforced", enforced!),
    ...latency("policy deleted to lifted", lifted!),
  ];
}

export const changes: BenchPart = {
  name: "changes",
  what: "time from an endpoint or policy change to its effect on packets",
  async run(context) {
    const rounds = context.rounds ?? defaultRounds;
    context.progress("lab");
    await using lab = await startLab({ ...context, routing: "tunnel" });
    context.progress(`${rounds} endpoint changes`);
    const endpoint = await endpointChanges(lab, context, rounds);
    context.progress(`${rounds} policies created and deleted`);
    return [...endpoint, ...(await policyChanges(lab, context, rounds))];
  },
};
