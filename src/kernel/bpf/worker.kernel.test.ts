// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { loadCollection } from "#kernel/bpf/object.ts";
import { skBuffContext } from "#kernel/bpf/test-run.ts";
import { compiledSpec } from "#kit/bpf-object.ts";

const reader = `
  import { workerData, parentPort } from "node:worker_threads";
  const { BpfMap } = await import(workerData.map);
  const { openRingBuffer } = await import(workerData.ringbuf);
  const warnings = [];
  process.on("warning", (warning) => warnings.push(warning.message));
  const seen = [];
  {
    using map = BpfMap.openId(workerData.id);
    using ring = openRingBuffer(map);
    ring.drain((view, offset) => seen.push(view.getUint32(offset, true)));
  }
  setImmediate(() => parentPort.postMessage({ seen, warnings }));
`;

test("a worker reads the ring of a map it knows by id, without a warning for the fds it closes", async () => {
  using loaded = loadCollection(compiledSpec("src/kernel/bpf/testdata/first.bpf.c"));
  const data = new Uint8Array(64);
  for (const mark of [2, 4, 6]) loaded.program("emit").testRun({ data, context: skBuffContext({ mark }) });
  const workerData = {
    id: loaded.map("events").info.id,
    map: import.meta.resolve("#kernel/bpf/map.ts"),
    ringbuf: import.meta.resolve("#kernel/bpf/ringbuf.ts"),
  };
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(reader)}`), { workerData });
  const signal = AbortSignal.timeout(20_000);
  const exit = once(worker, "exit", { signal });
  const [message] = await once(worker, "message", { signal });
  assert.deepEqual(message, { seen: [2, 4, 6], warnings: [] });
  await exit;
});
