// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { LbTableShape } from "#datapath/layouts/enums.ts";
import { lbBackendLayout } from "#datapath/layouts/lb-backend.ts";
import { lbBackendKeyLayout } from "#datapath/layouts/lb-backend-key.ts";
import { lbFrontendLayout } from "#datapath/layouts/lb-frontend.ts";
import { lbFrontendKeyLayout } from "#datapath/layouts/lb-frontend-key.ts";
import { lbReverseLayout } from "#datapath/layouts/lb-reverse.ts";
import { lbReverseKeyLayout } from "#datapath/layouts/lb-reverse-key.ts";
import { lbSlotKeyLayout } from "#datapath/layouts/lb-slot-key.ts";
import { lbSourceRangeLayout } from "#datapath/layouts/lb-source-range.ts";
import { lbSourceRangeKeyLayout } from "#datapath/layouts/lb-source-range-key.ts";
import { lbTableRowLayout } from "#datapath/layouts/lb-table-row.ts";
import { MapFlag, MapType } from "#kernel/bpf/kinds.ts";
import { BpfMap } from "#kernel/bpf/map.ts";
import { mapWrites } from "#kernel/bpf/map-writes.ts";
import { typedMap, u32Layout, u64Layout } from "#kernel/bpf/typed-map.ts";
import { createHealth } from "#lib/health.ts";
import { parseAddress } from "#model/ip.ts";
import { nodeTable } from "#nodes/table.ts";
import { startServiceController } from "#services/controller.ts";
import { serviceMaps } from "#services/maps.ts";
import { startServiceReconciler } from "#services/ops.ts";
import { redirectTable } from "#services/redirects.ts";
import {
  type EndpointSlice,
  endpointSliceTable,
  frontendIdTable,
  frontendTable,
  healthCheckTable,
  hostPortTable,
  type Service,
  serviceTable,
} from "#services/table.ts";
import { Database } from "#store/table.ts";

const layouts: Record<string, readonly [{ size: number }, { size: number }]> = {
  lb_frontends: [lbFrontendKeyLayout, lbFrontendLayout],
  lb_slots: [lbSlotKeyLayout, lbTableRowLayout],
  lb_backends: [lbBackendKeyLayout, lbBackendLayout],
  lb_reverse: [lbReverseKeyLayout, lbReverseLayout],
  lb_source_ranges: [lbSourceRangeKeyLayout, lbSourceRangeLayout],
};

function kernelMaps(maxEntries: number) {
  const stack = new DisposableStack();
  const maps = new Map<string, BpfMap>();
  for (const [name, [key, value]] of Object.entries(layouts)) {
    const sizes = { keySize: key.size, valueSize: value.size, maxEntries };
    const noPrealloc = 1;
    maps.set(name, stack.use(BpfMap.create({ name, type: MapType.hash, flags: noPrealloc, ...sizes })));
  }
  const { row } = LbTableShape;
  const array = { name: "lb_table", type: MapType.array, flags: MapFlag.innerMap, keySize: 4, maxEntries: 1 };
  using innerMap = BpfMap.create({ ...array, valueSize: 4 * row });
  const outer = { name: "lb_tables", type: MapType.hashOfMaps, keySize: 8, valueSize: 4, maxEntries };
  const tables = stack.use(BpfMap.create({ ...outer, innerMap }));
  const count = (name: string) => [...maps.get(name)!.keys()].length;
  return {
    maps: serviceMaps((name) => (name === "lb_tables" ? tables : maps.get(name)!)),
    /** A frontend's table as the kernel has it. */
    table(id: bigint): number[] {
      using inner = BpfMap.openId(typedMap(tables, u64Layout, u32Layout).get(id)!);
      return [...typedMap(inner, u32Layout, lbTableRowLayout).entries()].flatMap(
        ([, { backends }]) => backends,
      );
    },
    counts: () => [...maps.keys()].map(count),
    [Symbol.dispose]: () => stack.dispose(),
  };
}

function agent(maps: ReturnType<typeof serviceMaps>) {
  const db = new Database();
  const tables = {
    services: serviceTable(db),
    endpointSlices: endpointSliceTable(db),
    nodes: nodeTable(db),
    frontends: frontendTable(db),
    hostPorts: hostPortTable(db),
    redirects: redirectTable(db),
    healthChecks: healthCheckTable(db),
  };
  const frontendIds = frontendIdTable(db);
  const stop = new AbortController();
  const common = { db, health: createHealth(), log: pino({ level: "silent" }) };
  const sources = [
    tables.services,
    tables.endpointSlices,
    tables.nodes,
    tables.hostPorts,
    tables.redirects,
  ].map((table) => table.source("t"));
  const stack = new AsyncDisposableStack();
  stack.use(startServiceController({ ...common, ...tables, families: [4, 6] }, stop.signal));
  const reconciler = stack.use(
    startServiceReconciler({ ...common, frontends: tables.frontends, frontendIds, maps }, stop.signal),
  );
  return {
    ...tables,
    db,
    frontendIds,
    reconciler,
    health: common.health,
    sync: () => sources.map((source) => source.synced()),
    settle: async () => {
      await tables.frontends.ready;
      await reconciler.waitUntil(tables.frontends.revision);
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const serviceOf = (n: number): Service => ({
  namespace: "ns",
  name: `svc${n}`,
  type: "ClusterIP",
  clusterIps: [parseAddress(`10.96.${n >> 8}.${n & 255}`)],
  externalIps: [],
  ingressIps: [],
  ports: [{ name: "http", proto: 6, port: 80, nodePort: 0 }],
  affinitySec: 0,
  internalLocal: false,
  externalLocal: false,
  sourceRanges: [],
  healthCheckPort: 0,
  publishNotReady: false,
  createdMs: 0,
  problems: [],
});
const sliceOf = (n: number, backends: number, from = 0): EndpointSlice => ({
  namespace: "ns",
  name: `svc${n}-1`,
  service: `ns/svc${n}`,
  ports: [{ name: "http", proto: 6, port: 8080 }],
  endpoints: Array.from({ length: backends }, (_, at) => ({
    address: parseAddress(`10.${16 + (at + from)}.${n >> 8}.${n & 255}`),
    ready: true,
    serving: true,
    terminating: false,
  })),
});

/** Lets the event loop turn until the condition holds. @throws after 10 s */
async function until(condition: () => boolean): Promise<void> {
  const limitMs = performance.now() + 10_000;
  while (!condition()) {
    assert.ok(performance.now() < limitMs, "not within 10 s");
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test("10,000 services of 10 backends are programmed and adopted within seconds, one change within milliseconds", async (t) => {
  using kernel = kernelMaps(131_072);
  const rows = Array.from({ length: 10_000 }, (_, n) => [serviceOf(n), sliceOf(n, 10)] as const);
  const fill = (a: ReturnType<typeof agent>) =>
    a.db.write((tx) => {
      for (const [service, slice] of rows) {
        tx.put(a.services, service);
        tx.put(a.endpointSlices, slice);
      }
    });
  const timed = async (what: string, work: () => Promise<void>) => {
    const cpu = process.cpuUsage();
    const startMs = performance.now();
    await work();
    const used = process.cpuUsage(cpu);
    const cpuMs = (used.user + used.system) / 1000;
    t.diagnostic(`${what}: ${cpuMs.toFixed(1)} ms CPU, ${(performance.now() - startMs).toFixed(1)} ms wall`);
    return cpuMs;
  };
  {
    await using first = agent(kernel.maps);
    fill(first);
    const cpuMs = await timed("rows to maps", async () => {
      first.sync();
      await first.settle();
    });
    assert.deepEqual(kernel.counts(), [10_000, 10_000, 100_000, 10_000, 0]);
    assert.ok(cpuMs < 15_000);
    const times: number[] = [];
    for (let round = 0; round < 50; round++) {
      const revision = first.frontends.revision;
      const startMs = performance.now();
      first.db.write((tx) => tx.put(first.endpointSlices, sliceOf(77, 10, (round + 1) % 2)));
      await until(() => first.frontends.revision > revision);
      await first.settle();
      times.push(performance.now() - startMs);
    }
    times.sort((a, b) => a - b);
    t.diagnostic(
      `one endpoint changed to maps: median ${times[25]!.toFixed(2)} ms, p90 ${times[45]!.toFixed(2)} ms`,
    );
  }
  await using second = agent(kernel.maps);
  fill(second);
  await timed("adoption", async () => {
    second.sync();
    await second.settle();
  });
  assert.deepEqual(kernel.counts(), [10_000, 10_000, 100_000, 10_000, 0]);
  assert.equal(second.frontendIds.size, 10_000);
});

test("a full map is an error of those that do not fit; the others are in, and room lets them in", async () => {
  using kernel = kernelMaps(10);
  await using a = agent(kernel.maps);
  a.sync();
  a.db.write((tx) => {
    for (let n = 0; n < 5; n++) {
      tx.put(a.services, serviceOf(n));
      tx.put(a.endpointSlices, sliceOf(n, n === 4 ? 1 : 3));
    }
  });
  const key = (n: number) => `10.96.0.${n}:80/TCP`;
  await until(() => a.frontends.size === 5);
  await assert.rejects(a.reconciler.settled(key(3)), /no room left: update map lb_backends/);
  await a.reconciler.settled(key(2));
  assert.match(
    a.health.rows().find((row) => row.name === "frontends")!.message,
    /^Degraded, 1 error\(s\): 10\.96\.0\.3:80\/TCP/,
  );
  a.db.write((tx) => {
    for (const n of [0, 1]) tx.delete(a.services, `ns/svc${n}`);
  });
  await a.reconciler.waitUntil(a.frontends.revision);
  await until(() => a.reconciler.status.get(key(3))?.state === "done");
  assert.deepEqual(kernel.counts(), [3, 3, 7, 3, 0]);
});

test("a weighted service's table is in the kernel as a whole, an agent that comes back leaves it, and it goes with the service", async () => {
  using kernel = kernelMaps(20);
  const places = async () => {
    await using a = agent(kernel.maps);
    a.sync();
    a.db.write((tx) => {
      tx.put(a.services, serviceOf(0));
      const slice = sliceOf(0, 2);
      const weigh = (one: (typeof slice.endpoints)[number], at: number) => ({ ...one, weight: 1 + 2 * at });
      tx.put(a.endpointSlices, { ...slice, endpoints: slice.endpoints.map(weigh) });
    });
    await until(() => a.frontends.size === 1);
    await a.reconciler.waitUntil(a.frontends.revision);
    const [id] = kernel.maps.tables.signatures();
    return kernel.table(id!);
  };
  const first = await places();
  const [light, heavy] = [...new Set(first)]
    .filter(Boolean)
    .map((id) => first.filter((one) => one === id).length)
    .sort((a, b) => a - b);
  assert.ok(Math.abs(heavy! / light! - 3) < 0.01, `${light} and ${heavy} places`);
  const written = () => structuredClone([...mapWrites()].filter(([name]) => name.startsWith("lb_")));
  const writes = written();
  assert.deepEqual(await places(), first);
  assert.deepEqual(written(), writes);
  await using last = agent(kernel.maps);
  last.sync();
  await until(() => kernel.maps.tables.signatures().length === 0);
});
