// SPDX-License-Identifier: Apache-2.0
/** The flows thread: reads the ring buffer, keeps the flows, serves them. Started by start.ts. */
import { randomBytes } from "node:crypto";
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { trimAllocator } from "#kernel/memory.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import { releaseMemoryAfterMs, releaseStartMemory } from "#lib/release-memory.ts";
import { bootOffsetNs } from "./boot-clock.ts";
import { FlowCounters } from "./counters.ts";
import { Directory } from "./directory.ts";
import { Ingest } from "./ingest.ts";
import { kernelSource } from "./kernel-source.ts";
import { tellLosses } from "./losses.ts";
import type { FromWorker, ToWorker, WorkerOptions } from "./messages.ts";
import { flowMetrics } from "./metrics.ts";
import { type FlowStore, nodeObserver } from "./observer.ts";
import { peerService } from "./peer.ts";
import { pollRecords } from "./poll.ts";
import { FlowRing } from "./ring.ts";
import { startRpcServer } from "./server.ts";

async function run(options: WorkerOptions, port: MessagePort): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const say = (message: FromWorker) => port.postMessage(message);
  const stop = new AbortController();
  const ring = new FlowRing(options.capacity);
  const directory = new Directory();
  const counters = new FlowCounters();
  const metrics = flowMetrics(counters, ring);
  port.on("message", (message: ToWorker) => {
    if (message.kind === "directory") directory.apply(message.update, ring.next, performance.now());
    else if (message.kind === "stop") stop.abort();
    else {
      metrics.metrics().then(
        (text) => say({ kind: "metrics", id: message.id, text }),
        (thrown: unknown) => say({ kind: "metrics", id: message.id, text: `# ${errorText(thrown)}\n` }),
      );
    }
  });
  const { clusterName, nodeName, version } = options;
  const node = { nodeName: `${clusterName}/${nodeName}`, clusterName, run: randomBytes(8).readBigUInt64LE() };
  const store: FlowStore = { ring, directory, counters, node, version, startedMs: performance.now() };
  const source = stack.use(kernelSource(options));
  const server = stack.use(
    await startRpcServer(options.listen, { observer: nodeObserver(store), peer: peerService(directory) }),
  );
  const losses = stack.use(tellLosses((count) => say({ kind: "lost", count })));
  const ingest = new Ingest({ ring, directory, counters, bootOffsetNs, onLost: losses.note });
  say({ kind: "ready", tcpPort: server.tcpPort });
  stack.use(releaseStartMemory(releaseMemoryAfterMs, trimAllocator));
  await pollRecords(source, ingest, { signal: stop.signal });
}

const port = parentPort;
if (port) {
  run(workerData as WorkerOptions, port)
    .then(
      (): FromWorker => ({ kind: "stopped" }),
      (thrown: unknown): FromWorker => ({
        kind: "failed",
        code: thrown instanceof WeftError ? thrown.code : "E_FLOWS",
        message: errorText(thrown),
      }),
    )
    .then(
      (last) => {
        port.postMessage(last);
        port.close();
      },
      () => port.close(),
    );
}
