// SPDX-License-Identifier: Apache-2.0
/** What policy costs one node of a large cluster: 10,000 identities, 1,000 policies, 110 pods. */
import { setTimeout as delay } from "node:timers/promises";
import type { BenchContext, BenchPart } from "./context.ts";
import { type PolicyNode, startPolicyNode } from "./policy-node.ts";
import { endpointOf, identityOf, labelsOf, policyOf, policyRowOf, remotePod, size } from "./policy-world.ts";
import { type Figure, figure, latency } from "./stats.ts";

const defaultRounds = 100;
const clusterIdentities = size.namespaces * size.apps;
const manyPods = 100_000;

interface Cost {
  readonly ms: number;
  readonly cpuMs: number;
}

/** A change of the tables until the kernel has all that follows. */
async function timed(node: PolicyNode, change: () => void): Promise<Cost> {
  const [cpu, startMs] = [process.cpuUsage(), performance.now()];
  change();
  await node.settled();
  const { user, system } = process.cpuUsage(cpu);
  return { ms: performance.now() - startMs, cpuMs: (user + system) / 1000 };
}

function costs(name: string, list: readonly Cost[]): Figure[] {
  return [
    ...latency(
      name,
      list.map(({ ms }) => ms),
    ),
    figure(
      `${name}: CPU`,
      "ms",
      list.map(({ cpuMs }) => cpuMs),
    ),
  ];
}

function heapMb(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed / 1e6;
}

async function fill(node: PolicyNode): Promise<Figure[]> {
  const { db, tables } = node;
  db.write((tx) => {
    for (let i = 0; i < clusterIdentities; i++) {
      tx.put(tables.identities, identityOf(i));
      tx.put(tables.claims, remotePod(i, clusterIdentities));
    }
    for (let id = 1; id <= size.pods; id++) tx.put(tables.endpoints, endpointOf(id));
  });
  await node.settled();
  const all = await timed(node, () =>
    db.write((tx) => {
      for (let i = 0; i < size.policies; i++) tx.put(tables.policies, policyOf(i));
    }),
  );
  const maps = [...tables.policyMaps.all()].map(({ entries }) => entries.length);
  return [
    figure("policy, all 1,000 policies at once: enforced", "ms", [all.ms]),
    figure("policy, all 1,000 policies at once: CPU", "ms", [all.cpuMs]),
    figure("policy, policy maps of the node", "maps", [maps.length]),
    figure("policy, entries of a policy map", "entries", maps),
    figure("policy, entries of all policy maps", "entries", [maps.reduce((sum, count) => sum + count, 0)]),
  ];
}

/** Policies that select one of the node's pods, applied and taken away. */
async function applyOne(node: PolicyNode, rounds: number): Promise<Figure[]> {
  const [apply, remove]: [Cost[], Cost[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    const { namespace } = endpointOf(1 + (round % size.pods));
    const number = Number(namespace.slice(3));
    const app = round % size.apps;
    const row = policyRowOf(number, `one-${round}`, {
      spec: {
        podSelector: {},
        ingress: [
          { from: [{ podSelector: { matchLabels: { app: `app-${app}` } } }], ports: [{ port: 8080 }] },
          { from: [{ ipBlock: { cidr: `203.0.${round % 256}.0/24` } }], ports: [{ port: 8443 }] },
        ],
      },
    });
    apply.push(await timed(node, () => node.db.write((tx) => tx.put(node.tables.policies, row))));
    const key = node.tables.policies.keyOf(row);
    remove.push(await timed(node, () => node.db.write((tx) => tx.delete(node.tables.policies, key))));
  }
  return [
    ...costs("policy, one applied to enforced", apply),
    ...costs("policy, one deleted to lifted", remove),
  ];
}

/** A new pod elsewhere with labels of its own: an identity, then an address. */
async function addPods(node: PolicyNode, rounds: number): Promise<Figure[]> {
  const { db, tables } = node;
  const [added, relabelled, local]: [Cost[], Cost[], Cost[]] = [[], [], []];
  for (let round = 0; round < rounds; round++) {
    const index = clusterIdentities + round;
    const identity = { id: 256 + index, labels: labelsOf((round * 7) % size.namespaces, size.apps + round) };
    added.push(
      await timed(node, () =>
        db.write((tx) => {
          tx.put(tables.identities, identity);
          tx.put(tables.claims, { ...remotePod(index, 1), identity: identity.id });
        }),
      ),
    );
    relabelled.push(
      await timed(node, () => {
        const labels = new Map([
          ...identity.labels,
          ["k8s:io.cilium.k8s.namespace.labels.team", `team-${round % 9}`],
        ]);
        db.write((tx) => tx.put(tables.identities, { id: identity.id, labels }));
      }),
    );
    const id = size.pods + 1 + round;
    local.push(await timed(node, () => db.write((tx) => tx.put(tables.endpoints, endpointOf(id)))));
    db.write((tx) => tx.delete(tables.endpoints, String(id)));
    await node.settled();
  }
  return [
    ...costs("policy, a pod with a new identity elsewhere", added),
    ...costs("policy, the labels of an identity changed", relabelled),
    ...costs("policy, a pod of the node", local),
  ];
}

/** A policy that names 1,000 identities, of which every port and protocol differs from what others say. */
async function applyWide(node: PolicyNode, rounds: number): Promise<Figure[]> {
  const wide: Cost[] = [];
  for (let round = 0; round < Math.min(rounds, 20); round++) {
    const { namespace } = endpointOf(1 + (round % size.pods));
    const teams = { matchLabels: { team: `team-${round % 10}` } };
    const row = policyRowOf(Number(namespace.slice(3)), "wide", {
      spec: {
        podSelector: {},
        ingress: [{ from: [{ namespaceSelector: teams }], ports: [{ port: 7000 + round }] }],
      },
    });
    wide.push(await timed(node, () => node.db.write((tx) => tx.put(node.tables.policies, row))));
    await timed(node, () =>
      node.db.write((tx) => tx.delete(node.tables.policies, node.tables.policies.keyOf(row))),
    );
  }
  return costs("policy, one over 1,000 identities", wide);
}

async function heap(node: PolicyNode, beforeMb: number): Promise<Figure[]> {
  const { db, tables } = node;
  const smallMb = heapMb();
  for (let from = clusterIdentities; from < manyPods; from += 10_000) {
    db.write((tx) => {
      for (let i = from; i < from + 10_000; i++) {
        if (i < 65_000) tx.put(tables.identities, identityOf(i));
        tx.put(tables.claims, remotePod(i, 65_000));
      }
    });
    await node.settled();
  }
  await delay(1000);
  return [
    figure("policy, heap with 10,000 identities, addresses and 1,000 policies", "MB", [smallMb - beforeMb]),
    figure("policy, heap with 65,000 identities and 100,000 addresses", "MB", [heapMb() - beforeMb]),
    figure("policy, ipcache entries", "entries", [tables.ipcache.size]),
  ];
}

async function run({ rounds = defaultRounds, signal, progress }: BenchContext): Promise<Figure[]> {
  const beforeMb = heapMb();
  await using node = startPolicyNode(signal);
  progress("10,000 identities, 1,000 policies");
  const out = await fill(node);
  progress("policies, one at a time");
  out.push(...(await applyOne(node, rounds)));
  progress("pods and labels, one at a time");
  out.push(...(await addPods(node, rounds)));
  progress("policies over 1,000 identities");
  out.push(...(await applyWide(node, rounds)));
  progress("100,000 pods");
  out.push(...(await heap(node, beforeMb)));
  return out;
}

export const policy: BenchPart = {
  name: "policy",
  what: "what policy costs a node at 10,000 identities and 1,000 policies: time, CPU, map entries, heap",
  run,
};
