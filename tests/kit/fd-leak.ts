// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { readdirSync, readlinkSync } from "node:fs";

/** What this process holds open: fd → what it is. */
function processFds(): Map<number, string> {
  const fds = new Map<number, string>();
  for (const name of readdirSync("/proc/self/fd")) {
    try {
      fds.set(Number(name), readlinkSync(`/proc/self/fd/${name}`));
    } catch {
      // The fd that listed the directory is gone already.
    }
  }
  return fds;
}

/** Runs `body` and fails when it left file descriptors open that were not open before. */
export function assertNoFdLeak(body: () => void): void {
  const before = processFds();
  body();
  const left = [...processFds()].filter(
    ([fd, what]) => before.get(fd) !== what && !/eventpoll|\/proc\//.test(what),
  );
  assert.deepEqual(left, [], "file descriptors left open");
}
