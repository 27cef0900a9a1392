// SPDX-License-Identifier: Apache-2.0
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

type Collect = (options: { readonly type: "major"; readonly flavor: "last-resort" }) => void;

/** When a node's first pods have most likely been attached. */
export const releaseMemoryAfterMs = 10_000;

/**
 * Gives the memory back that this thread's start took and nothing needs any more: a quarter of an agent's resident set (what was read to
 * load programs, and a young generation grown for it). V8 by itself would keep it as room to grow. From then on no thread's young generation
 * grows any more: at rest V8 makes it small, and bursts of work shall not take its room back. Stops the thread for some 50 ms, once, `afterMs`
 * from now; then comes `more`.
 */
export function releaseStartMemory(afterMs: number, more: () => void = () => {}): Disposable {
  const timer = setTimeout(() => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as Collect;
    setFlagsFromString("--no-expose-gc");
    collect({ type: "major", flavor: "last-resort" });
    setFlagsFromString("--semi-space-growth-factor=1");
    more();
  }, afterMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearTimeout(timer) };
}
