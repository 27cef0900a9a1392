// SPDX-License-Identifier: Apache-2.0
/**
 * Events a second the flows thread takes in without loss, and what it costs: BPF writes events at a fixed pace, as new TCP connections
 * would, into the ring buffer of the datapath's size; the thread keeps names, counts and flows as in an agent.
 * Run by itself: `node tests/bench/flow-events.ts [events per second]...`
 */
import { readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { observerClient } from "#flows/client.ts";
import { startFlows } from "#flows/start.ts";
import { loadCollection } from "#kernel/bpf/object.ts";
import { compiledSpec } from "#kit/bpf-object.ts";
import { flowTables } from "#kit/flow-tables.ts";

export interface EventRate {
  /** Written a second, as far as the machine let us. */
  readonly offered: number;
  readonly taken: number;
  readonly lost: number;
  /** CPU time of all threads but the writer's, microseconds an event. */
  readonly cpuUsPerEvent: number;
  /** Share of one core. */
  readonly core: number;
}

const tickMs = 5;

/** Writes `perSecond` events a second for `seconds` and tells what became of them. */
export async function measureEventRate(perSecond: number, seconds: number): Promise<EventRate> {
  await using stack = new AsyncDisposableStack();
  const loaded = stack.use(loadCollection(compiledSpec("src/flows/testdata/emitter.bpf.c")));
  const tables = flowTables();
  tables.fill();
  const flows = stack.use(
    await startFlows({
      tables,
      ringMap: loaded.map("events"),
      lostMap: loaded.map("events_lost"),
      listen: { tcp: { host: "127.0.0.1", port: 0 } },
      nodeName: "bench",
      clusterName: "bench",
      version: "bench",
      signal: new AbortController().signal,
    }),
  );
  using client = observerClient(`127.0.0.1:${flows.tcpPort}`);
  const emit = loaded.program("emit");
  const data = new Uint8Array(64);
  const others = () => {
    const [all, own] = [process.cpuUsage(), process.threadCpuUsage()];
    return all.user + all.system - own.user - own.system;
  };
  emit.testRun({ data, repeat: 2_000 });
  await wait(500);
  const before = {
    cpuUs: others(),
    atMs: performance.now(),
    seen: Number((await client.api.serverStatus({})).seenFlows),
  };
  let written = 0;
  while (performance.now() - before.atMs < seconds * 1_000) {
    const due = Math.floor(((performance.now() - before.atMs) * perSecond) / 1_000) - written;
    if (due > 0) emit.testRun({ data, repeat: due });
    written += Math.max(0, due);
    await wait(tickMs);
  }
  const tookMs = performance.now() - before.atMs;
  await wait(300);
  const cpuUs = others() - before.cpuUs;
  const taken = Number((await client.api.serverStatus({})).seenFlows) - before.seen;
  const offered = Math.round((written * 1_000) / tookMs);
  return {
    offered,
    taken,
    lost: written - taken,
    cpuUsPerEvent: cpuUs / taken,
    core: cpuUs / 1_000 / tookMs,
  };
}

if (import.meta.main) {
  const load = readFileSync("/proc/loadavg", "utf8").split(" ")[0];
  console.log(`load average ${load}`);
  for (const perSecond of process.argv.slice(2).map(Number)) {
    const rate = await measureEventRate(perSecond, 5);
    const { offered, taken, lost, cpuUsPerEvent, core } = rate;
    console.log(
      `${offered} events/s for 5 s: ${taken} taken, ${lost} lost, ${cpuUsPerEvent.toFixed(2)} µs CPU each, ${(core * 100).toFixed(1)} % of a core`,
    );
  }
}
