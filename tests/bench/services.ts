// SPDX-License-Identifier: Apache-2.0
/** What services cost one node of a large cluster: from the API server's JSON to the kernel's maps, in one process. */
import { readFileSync } from "node:fs";
import type { V1EndpointSlice, V1Service } from "@kubernetes/client-node";
import type { KubeObject } from "#k8s/resource.ts";
import { toEndpointSlice, toService } from "#services/source.ts";
import type { BenchContext, BenchPart } from "./context.ts";
import { other } from "./lb/services.ts";
import { type ServiceNode, type ServiceSizes, startServiceNode } from "./service-node.ts";
import { type Figure, figure, latency } from "./stats.ts";

const sizes: readonly ServiceSizes[] = [
  { services: 10_000, endpointsEach: 10 },
  { services: 20_000, endpointsEach: 50 },
];
const defaultRounds = 100;

function heapMb(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed / 1e6;
}

/** As one watch event holds it, so with what the server adds to every object. */
function text(object: KubeObject, index: number): string {
  const { metadata } = object;
  const more = {
    uid: `00000000-0000-4000-8000-${String(index).padStart(12, "0")}`,
    resourceVersion: String(1000 + index),
    generation: 1,
    creationTimestamp: "2026-01-01T00:00:00Z",
  };
  return JSON.stringify({ ...object, metadata: { ...metadata, ...more } });
}

interface Texts {
  readonly services: readonly string[];
  readonly slices: readonly string[];
}

function textsOf({ services, endpointsEach }: ServiceSizes): Texts {
  const all = Array.from({ length: services }, (_, i) => other(i, endpointsEach));
  return {
    services: all.map(([service], i) => text(service!, i)),
    slices: all.map(([, slice], i) => text(slice!, i)),
  };
}

/** CPU milliseconds of some work, and how long it took. */
async function timed(work: () => void | Promise<void>): Promise<{ ms: number; cpuMs: number }> {
  const [cpu, startMs] = [process.cpuUsage(), performance.now()];
  await work();
  const { user, system } = process.cpuUsage(cpu);
  return { ms: performance.now() - startMs, cpuMs: (user + system) / 1000 };
}

async function fill(node: ServiceNode, texts: Texts, name: string): Promise<Figure[]> {
  const { db, tables } = node;
  const read = await timed(() => {
    db.write((tx) => {
      for (const one of texts.services)
        tx.put(tables.services, toService(JSON.parse(one) as V1Service & KubeObject)!);
      for (const one of texts.slices)
        tx.put(tables.endpointSlices, toEndpointSlice(JSON.parse(one) as V1EndpointSlice & KubeObject)!);
    });
    for (const table of [tables.services, tables.endpointSlices]) table.source("bench").synced();
  });
  const written = await timed(() => node.settled(texts.services.length));
  return [
    figure(`${name}: objects read, CPU`, "ms", [read.cpuMs]),
    figure(`${name}: from tables to maps, CPU`, "ms", [written.cpuMs]),
  ];
}

async function change(
  node: ServiceNode,
  { name, sizes: { services, endpointsEach }, rounds }: { name: string; sizes: ServiceSizes; rounds: number },
): Promise<Figure[]> {
  const taken: { ms: number; cpuMs: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    const index = (round * 7919) % services;
    const [, slice] = other(index, endpointsEach);
    const [, moved] = other(services + round, endpointsEach);
    const { endpoints } = moved as { endpoints?: readonly unknown[] };
    const row = toEndpointSlice({
      ...slice,
      endpoints: [...(slice as { endpoints: readonly unknown[] }).endpoints.slice(1), endpoints![0]],
    } as V1EndpointSlice & KubeObject)!;
    const before = node.tables.frontends.revision;
    taken.push(
      await timed(async () => {
        node.db.write((tx) => tx.put(node.tables.endpointSlices, row));
        while (node.tables.frontends.revision === before)
          await new Promise((resolve) => setImmediate(resolve));
        await node.settled(services);
      }),
    );
  }
  return [
    ...latency(
      `${name}, one endpoint changed`,
      taken.map(({ ms }) => ms),
    ),
    figure(
      `${name}, one endpoint changed: CPU`,
      "ms",
      taken.map(({ cpuMs }) => cpuMs),
    ),
  ];
}

/** What the kernel accounts to the load balancer's maps, MB: entries as they are, buckets as many as there is room for. */
function mapsMb(node: ServiceNode): number {
  const names = ["lb_frontends", "lb_slots", "lb_backends", "lb_reverse"];
  const bytes = names.map((name) => {
    const info = readFileSync(`/proc/self/fdinfo/${node.map(name).fd.number}`, "utf8");
    return Number(/^memlock:\s+(\d+)$/m.exec(info)?.[1]);
  });
  return bytes.reduce((sum, one) => sum + one, 0) / 1e6;
}

async function one(size: ServiceSizes, { rounds, signal, progress }: BenchContext): Promise<Figure[]> {
  const { services, endpointsEach } = size;
  const name = `services, ${services.toLocaleString("en")} × ${endpointsEach}`;
  progress(name);
  let texts: Texts | undefined = textsOf(size);
  const bytes = [...texts.services, ...texts.slices].reduce((sum, { length }) => sum + length, 0);
  const textMb = heapMb();
  await using node = startServiceNode(size, signal);
  const figures = await fill(node, texts, name);
  texts = undefined;
  const emptyMb = textMb - bytes / 1e6;
  return [
    ...figures,
    figure(`${name}: JSON of the objects`, "MB", [bytes / 1e6]),
    figure(`${name}: heap`, "MB", [heapMb() - emptyMb]),
    figure(`${name}: kernel memory of the maps`, "MB", [mapsMb(node)]),
    ...(await change(node, { name, sizes: size, rounds: rounds ?? defaultRounds })),
  ];
}

export const services: BenchPart = {
  name: "services",
  what: "what services cost a node at 10,000 × 10 and 20,000 × 50 endpoints: CPU, heap, one change",
  async run(context) {
    const figures: Figure[] = [];
    for (const size of sizes) figures.push(...(await one(size, context)));
    return figures;
  },
};
