// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { LostEventSource } from "#api/gen/flow/flow_pb.ts";
import { type GetFlowsResponse, Observer } from "#api/gen/observer/observer_pb.ts";
import { type Collection, loadCollection } from "#kernel/bpf/object.ts";
import { compiledSpec } from "#kit/bpf-object.ts";
import { flowTables } from "#kit/flow-tables.ts";
import { GrpcClient } from "#kit/grpc-client.ts";
import { type Flows, startFlows } from "./start.ts";

const spec = compiledSpec("src/flows/testdata/emitter.bpf.c");
const { getFlows, serverStatus } = Observer.method;

interface Running extends AsyncDisposable {
  readonly flows: Flows;
  readonly client: GrpcClient;
  readonly tables: ReturnType<typeof flowTables>;
  emit(events: number): void;
  /** Events written so far, by the writer's own count. */
  written(): number;
  /** Losses as the agent hears of them. */
  readonly losses: readonly number[];
}

async function start(): Promise<Running> {
  const directory = mkdtempSync(join(tmpdir(), "flows-worker-"));
  const unix = join(directory, "observer.sock");
  const loaded: Collection = loadCollection(spec);
  const tables = flowTables();
  const losses: number[] = [];
  const flows = await startFlows({
    tables,
    ringMap: loaded.map("events"),
    lostMap: loaded.map("events_lost"),
    listen: { unix, tcp: { host: "127.0.0.1", port: 0 } },
    nodeName: "n1",
    clusterName: "test",
    version: "weft test",
    capacity: 16_383,
    interfaces: new Map([[1, "lo"]]),
    onLost: (count) => losses.push(count),
    signal: new AbortController().signal,
  });
  const client = new GrpcClient(`unix:${unix}`);
  const data = new Uint8Array(64);
  return {
    flows,
    client,
    tables,
    losses,
    emit: (repeat) => void loaded.program("emit").testRun({ data, repeat }),
    written: () => loaded.variable("runs").view.getUint32(0, true),
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      await flows[Symbol.asyncDispose]();
      loaded[Symbol.dispose]();
      rmSync(directory, { recursive: true });
    },
  };
}

test("events of the kernel become flows with names, are counted, and nothing is lost unsaid", async () => {
  await using running = await start();
  const { client, tables, flows } = running;
  tables.fill();
  // The first event follows the names through the thread's door; those after it find them there.
  const following = client.stream(getFlows, { follow: true, number: 10n }, (answers) => {
    if (answers.length < 3) running.emit(1);
    return answers.length === 3;
  });
  running.emit(1);
  const beforeMs = Date.now();
  const answers = await following;
  const flow = answers[2]!.responseTypes;
  assert.ok(flow.case === "flow");
  const { source, destination, destinationService, ingressAllowedBy, nodeName, time } = flow.value;
  assert.deepEqual(
    [source?.namespace, source?.podName, source?.workloads[0]?.name],
    ["shop", "client-xyz", "client"],
  );
  assert.deepEqual(destination?.labels, ["k8s:app=front"]);
  assert.deepEqual(
    [destinationService?.name, ingressAllowedBy[0]?.name, nodeName],
    ["front", "front-from-client", "test/n1"],
  );
  assert.ok(Math.abs(Number(time!.seconds) * 1_000 + time!.nanos / 1e6 - beforeMs) < 2_000, "wall time");

  // A ring of 4 MB holds 37,449 events of 104 bytes and 8 of header; what finds it full is counted as lost.
  running.emit(200_000);
  // No flow has that port: only what was lost is told.
  await client.stream(
    getFlows,
    { follow: true, number: 1n, whitelist: [{ destinationPort: ["1"] }] },
    (heard) => heard.some(isKernelLoss),
  );
  let counts = { flows: 0, lost: 0 };
  for (let tries = 0; tries < 1_000 && counts.flows + counts.lost !== running.written(); tries++) {
    const text = await flows.metrics.metrics();
    const series = (name: string) => Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
    const labels = 'protocol="TCP",subtype="to-endpoint",type="Trace",verdict="FORWARDED"';
    counts = {
      flows: series(`hubble_flows_processed_total\\{${labels}\\}`),
      lost: series('hubble_lost_events_total\\{source="perf_event_ring_buffer"\\}'),
    };
  }
  assert.equal(counts.flows + counts.lost, running.written());
  assert.ok(counts.lost > 0);
  const [told = 0] = running.losses;
  assert.ok(told > 0 && told <= counts.lost, `${told} of ${counts.lost}`);
  assert.equal((await client.unary(serverStatus, {})).seenFlows, BigInt(counts.flows));
});

function isKernelLoss({ responseTypes }: GetFlowsResponse): boolean {
  return (
    responseTypes.case === "lostEvents" &&
    responseTypes.value.source === LostEventSource.PERF_EVENT_RING_BUFFER
  );
}

test("a taken address is an error, and the thread is gone afterwards", async () => {
  await using running = await start();
  const port = running.flows.tcpPort!;
  using loaded = loadCollection(spec);
  const again = startFlows({
    tables: flowTables(),
    ringMap: loaded.map("events"),
    listen: { tcp: { host: "127.0.0.1", port } },
    nodeName: "n2",
    clusterName: "test",
    version: "weft test",
    signal: new AbortController().signal,
  });
  await assert.rejects(again, { code: "E_LISTEN", message: new RegExp(`127\\.0\\.0\\.1:${port}`) });
});
