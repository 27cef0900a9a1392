// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { pino } from "pino";
import { mapWrites } from "#kernel/bpf/map-writes.ts";
import { loadCollection } from "#kernel/bpf/object.ts";
import { mountBpffs, unmount } from "#kernel/mounts.ts";
import { compiledSpec } from "#kit/bpf-object.ts";
import { Prefilter } from "./prefilter.ts";

const dir = mkdtempSync(join(tmpdir(), "weft-prefilter-maps-"));
mountBpffs(dir);
const files = mkdtempSync(join(tmpdir(), "weft-prefilter-file-"));
after(() => {
  unmount(dir);
  rmSync(dir, { recursive: true });
  rmSync(files, { recursive: true });
});

/** An agent's start, as far as the prefilter goes; which map it found, and how many are denied. */
function start(change?: object): { map: number; denied: number } {
  using loaded = loadCollection(compiledSpec("bpf/xdp.bpf.c"), {
    pinDir: dir,
    pin: (map) => map.name.startsWith("prefilter"),
    onIncompatible: "rebuild",
  });
  const log = pino({ level: "silent" });
  const prefilter = new Prefilter({ map: (name) => loaded.map(name), file: join(files, "list.json"), log });
  if (change) prefilter.change(change, []);
  return { map: loaded.map("prefilter").info.id, denied: prefilter.size };
}

test("an agent that comes back finds its maps as they were, and writes nothing", () => {
  const writes = () => JSON.stringify([...mapWrites()].filter(([name]) => name.startsWith("prefilter")));
  const first = start();
  let before = writes();
  assert.deepEqual(start(), first, "without a list");
  assert.equal(writes(), before);
  start({ op: "add", cidrs: ["198.51.100.0/24", "2001:db8::/32"] });
  before = writes();
  assert.deepEqual(start(), { ...first, denied: 2 }, "with one");
  assert.equal(writes(), before);
});
