// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type Group, type IndexEntry, single, writeDump } from "./collect.ts";

const limits = { maxFileBytes: 1000, maxBytes: 100_000, groupMs: 5_000, progress() {} };

async function dump(groups: readonly Group[], more: Partial<typeof limits> & { signal?: AbortSignal } = {}) {
  const dir = mkdtempSync(join(tmpdir(), "weft-dump-"));
  const file = join(dir, "dump.tar.gz");
  const options = { file, folder: "dump", groups, signal: new AbortController().signal, ...limits, ...more };
  const index = await writeDump(options);
  const read = (path: string) => execFileSync("tar", ["-xzOf", file, `dump/${path}`], { encoding: "utf8" });
  const names = execFileSync("tar", ["-tzf", file], { encoding: "utf8" }).trim().split("\n");
  return { dir, index, read, names, [Symbol.dispose]: () => rmSync(dir, { recursive: true }) };
}
const outcome = ({ path, error, cut }: IndexEntry) =>
  `${path}${error ? `: ${error}` : ""}${cut ? " cut" : ""}`;

test("an archive that tar reads, long names and all, with an index of what failed", async () => {
  const long = `nodes/${"n".repeat(90)}/db/${"t".repeat(40)}.json`;
  using made = await dump([
    single({ path: "a.txt", read: async () => "text token=planted-1234\n" }),
    single({ path: long, read: async () => ({ kind: "Secret", data: { a: "planted" } }) }),
    single({
      path: "broken.txt",
      read: async () => {
        throw new Error("no such pod, password=planted-1234");
      },
    }),
  ]);
  assert.deepEqual(made.names.sort(), ["dump/a.txt", "dump/index.json", `dump/${long}`]);
  assert.equal(made.read("a.txt"), "text token=<redacted>\n");
  assert.deepEqual(JSON.parse(made.read(long)), { kind: "Secret", data: "<redacted>" });
  assert.deepEqual(made.index.map(outcome), ["a.txt", "broken.txt: no such pod, password=<redacted>", long]);
  assert.deepEqual(JSON.parse(made.read("index.json")), made.index);
});

test("files, the whole and time have bounds", async () => {
  const hang = single({
    path: "hang",
    read: (signal) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
  });
  using made = await dump(
    [
      single({ path: "big.log", read: async () => `${"a".repeat(3000)}end` }),
      hang,
      single({ path: "late", read: async () => "x" }),
    ],
    { maxBytes: 999, groupMs: 50 },
  );
  assert.ok(made.read("big.log").endsWith("end"));
  assert.equal(made.read("big.log").length, 1000);
  assert.match(made.index.find(({ path }) => path === "hang")?.error ?? "", /timeout/i);
  assert.equal(made.index.find(({ path }) => path === "big.log")?.cut, true);
  using stopped = await dump([hang], { signal: AbortSignal.abort(new Error("time is up")) });
  assert.deepEqual(stopped.index.map(outcome), ["hang: time is up"]);
});

test("a file that cannot be written is an error, and nothing is left", async () => {
  const file = "/nowhere/dump.tar.gz";
  const options = { file, folder: "d", groups: [], signal: new AbortController().signal, ...limits };
  await assert.rejects(writeDump(options), { code: "E_SYSDUMP" });
  assert.equal(existsSync(`${file}.part`), false);
});
