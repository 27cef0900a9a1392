// SPDX-License-Identifier: Apache-2.0
import { BpfMap } from "#kernel/bpf/map.ts";
import { openRingBuffer } from "#kernel/bpf/ringbuf.ts";
import type { RecordSource } from "./poll.ts";

/** Opens the events ring buffer and the counter of lost events by their kernel ids. Disposing closes both. */
export function kernelSource({
  ringMapId,
  lostMapId,
}: {
  readonly ringMapId: number;
  readonly lostMapId: number;
}): RecordSource & Disposable {
  using opened = new DisposableStack();
  const ringMap = opened.use(BpfMap.openId(ringMapId));
  const ring = opened.use(openRingBuffer(ringMap));
  const lostMap = lostMapId === 0 ? undefined : opened.use(BpfMap.openId(lostMapId));
  const owned = opened.move();
  return {
    drain: (onRecord, max) => ring.drain(onRecord, max),
    lost: () => (lostMap ? sumPerCpu(lostMap) : 0),
    [Symbol.dispose]: () => owned.dispose(),
  };
}

/** Sum over all CPUs of the 64-bit counter under key 0. */
function sumPerCpu(map: BpfMap): number {
  map.key.bytes.fill(0);
  if (!map.lookupScratch()) return 0;
  let sum = 0n;
  for (let at = 0; at + 8 <= map.valueBytes; at += 8) sum += map.value.view.getBigUint64(at, true);
  return Number(sum);
}
