// SPDX-License-Identifier: Apache-2.0
import { Worker } from "node:worker_threads";
import type { BpfMap } from "#kernel/bpf/map.ts";
import { entryPoint } from "#lib/assets.ts";
import { WeftError } from "#lib/errors.ts";
import type { MetricsSource } from "#lib/metrics.ts";
import { type FlowTables, feedDirectory } from "./feed.ts";
import type { FromWorker, ListenAddress, ToWorker, WorkerOptions } from "./messages.ts";

export interface StartFlowsOptions {
  readonly tables: FlowTables;
  /** The ring buffer the datapath writes events to. */
  readonly ringMap: BpfMap;
  /** Per CPU, under key 0: events that found the ring buffer full. */
  readonly lostMap?: BpfMap;
  readonly listen: ListenAddress;
  readonly nodeName: string;
  readonly clusterName: string;
  readonly version: string;
  /** Flows kept in memory, 2^n - 1. Default 65,535 (8 MB). */
  readonly capacity?: number;
  /** Devices of the node that flows may be seen at, besides those of pods. */
  readonly interfaces?: ReadonlyMap<number, string>;
  /** Hears how many events found the ring buffer full since it last did; at most once a minute. */
  readonly onLost?: (count: number) => void;
  readonly signal: AbortSignal;
}

/** The running flows thread. Disposing stops it and waits for its end. */
export interface Flows extends AsyncDisposable {
  /** Port of the observer, also when 0 was asked for; undefined without TCP. */
  readonly tcpPort: number | undefined;
  /** Flow metrics for the agent's metrics server. */
  readonly metrics: MetricsSource;
  /** Resolves when the thread ended by itself; rejects with why. Never settles before disposal otherwise. */
  readonly ended: Promise<void>;
}

const metricsTimeoutMs = 5_000;
/** Flows sent to clients are garbage at once: a small nursery is as fast and keeps the process small. */
const youngGenerationMb = 8;

/**
 * Starts the flows thread: reads events, keeps and serves flows; names come from the tables as they change.
 * @throws WeftError E_LISTEN, E_CONFIG, E_FLOWS when it cannot start
 */
export async function startFlows(options: StartFlowsOptions): Promise<Flows> {
  const data: WorkerOptions = {
    ringMapId: options.ringMap.info.id,
    lostMapId: options.lostMap?.info.id ?? 0,
    capacity: options.capacity ?? 65_535,
    nodeName: options.nodeName,
    clusterName: options.clusterName,
    version: options.version,
    listen: options.listen,
  };
  const worker = new Worker(entryPoint("flows-worker", "src/flows/worker.ts"), {
    workerData: data,
    name: "flows",
    resourceLimits: { maxYoungGenerationSizeMb: youngGenerationMb },
  });
  const post = (message: ToWorker) => worker.postMessage(message);
  const waiting = new Map<number, (text: string) => void>();
  const stop = new AbortController();
  const exited = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
  const {
    promise: started,
    resolve: ready,
    reject: failedStart,
  } = Promise.withResolvers<number | undefined>();
  const { promise: ended, resolve: end, reject: fail } = Promise.withResolvers<void>();
  ended.catch(() => {});
  const failed = (error: Error) => {
    failedStart(error);
    fail(error);
  };
  worker.on("message", (message: FromWorker) => {
    if (message.kind === "ready") ready(message.tcpPort);
    else if (message.kind === "metrics") waiting.get(message.id)?.(message.text);
    else if (message.kind === "lost") options.onLost?.(message.count);
    else if (message.kind === "failed") failed(new WeftError(message.code, message.message));
    else end();
  });
  worker.once("error", (cause) => failed(new WeftError("E_FLOWS", "the flows thread failed", { cause })));
  worker.once("exit", () => failed(new WeftError("E_FLOWS", "the flows thread ended")));
  const dispose = async () => {
    stop.abort();
    post({ kind: "stop" });
    await exited;
  };
  const feeding = feedDirectory(options.tables, (update) => post({ kind: "directory", update }), {
    clusterName: options.clusterName,
    observerPort: options.listen.tcp?.port,
    signal: AbortSignal.any([stop.signal, options.signal]),
  });
  feeding.catch(failed);
  const devices = [...(options.interfaces ?? [])].map(([index, name]) => ({
    key: `device ${index}`,
    index,
    name,
  }));
  post({ kind: "directory", update: { interfaces: { put: devices, delete: [] } } });
  options.signal.addEventListener("abort", () => post({ kind: "stop" }), { once: true });
  try {
    const tcpPort = await started;
    return {
      tcpPort,
      metrics: { metrics: () => askMetrics(post, waiting) },
      ended,
      [Symbol.asyncDispose]: dispose,
    };
  } catch (thrown) {
    await dispose();
    throw thrown;
  }
}

let nextRequest = 1;

async function askMetrics(
  post: (message: ToWorker) => void,
  waiting: Map<number, (text: string) => void>,
): Promise<string> {
  const id = nextRequest++;
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const timer = setTimeout(
    () => reject(new WeftError("E_FLOWS", "the flows thread does not answer")),
    metricsTimeoutMs,
  );
  waiting.set(id, resolve);
  post({ kind: "metrics", id });
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    waiting.delete(id);
  }
}
