// SPDX-License-Identifier: Apache-2.0
/** A thread that sends packets through a program until told to stop, and counts answers that are not the wanted ones. */
import { parentPort, Worker, workerData } from "node:worker_threads";
import { BpfProgram } from "#kernel/bpf/program.ts";
import { skBuffContext } from "#kernel/bpf/test-run.ts";
import { inNetns } from "#kernel/netns.ts";
import { buildPacket, Tcp } from "./packet.ts";

export interface TrafficProbe {
  readonly from: string;
  readonly to: string;
  readonly dport: number;
  /** Each packet opens a connection of its own; false: all are one connection. */
  readonly fresh: boolean;
  readonly ifindex: number;
  readonly wanted: number;
}

export interface TrafficWork {
  readonly program: number;
  readonly netns: string;
  readonly probes: readonly TrafficProbe[];
  /** [0]: 1 when it is to stop; [1]: rounds sent. */
  readonly control: Int32Array<SharedArrayBuffer>;
}

/** By probe: packets sent, and the answers that were others than wanted. */
export interface TrafficResult {
  readonly sent: number;
  readonly wrong: readonly number[];
}

function send({ program: id, netns, probes, control }: TrafficWork): TrafficResult[] {
  using program = BpfProgram.openId(id);
  const results = probes.map(() => ({ sent: 0, wrong: [] as number[] }));
  inNetns(netns, () => {
    for (let round = 0; Atomics.load(control, 0) === 0; round++) {
      for (const [index, probe] of probes.entries()) {
        const { from, to, dport, fresh, ifindex, wanted } = probe;
        const sport = fresh ? 10_000 + (round % 20_000) : 9_000 + index;
        const flags = fresh ? Tcp.syn : Tcp.ack;
        const data = buildPacket({ from, to, transport: { kind: "tcp", sport, dport, flags } });
        const { returned } = program.testRun({ data, context: skBuffContext({ ifindex }) });
        const result = results[index]!;
        result.sent++;
        if (returned !== wanted && result.wrong.length < 10) result.wrong.push(round);
      }
      Atomics.add(control, 1, 1);
    }
  });
  return results;
}

/** Starts the thread. */
export function startTraffic(work: Omit<TrafficWork, "control">) {
  const control = new Int32Array(new SharedArrayBuffer(8));
  const worker = new Worker(new URL(import.meta.url), {
    workerData: { ...work, control } satisfies TrafficWork,
  });
  const result = new Promise<TrafficResult[]>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  return {
    /** Rounds of packets sent so far. */
    rounds: () => Atomics.load(control, 1),
    async stop(): Promise<TrafficResult[]> {
      Atomics.store(control, 0, 1);
      const out = await result;
      await worker.terminate();
      return out;
    },
  };
}

const work = workerData as TrafficWork | null;
if (work?.probes) parentPort?.postMessage(send(work));
