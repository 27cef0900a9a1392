// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readTar, writeTar } from "./tar.ts";
import { addFile, addLink, sorted, type Tree, writeTree } from "./tree.ts";

const deep = `opt/${"folder/".repeat(30)}file`;

function example(): Tree {
  const tree: Tree = new Map();
  addFile(tree, "usr/bin/tool", "#!/bin/sh\n", 0o755);
  addLink(tree, "bin", "usr/bin");
  addFile(tree, "empty", "");
  addFile(tree, deep, "far down");
  addLink(tree, "far", deep);
  addFile(tree, "usr/käse", Buffer.alloc(1537, 7));
  tree.set("tmp", { type: "dir", mode: 0o1777 });
  return tree;
}

test("what is written is read back, long names and all", () => {
  assert.deepEqual([...readTar(writeTar(example()))], sorted(example()));
});

test("the same tree gives the same bytes, in whatever order it was filled", () => {
  const backwards: Tree = new Map([...example()].reverse());
  assert.deepEqual(writeTar(backwards), writeTar(example()));
});

test("GNU tar unpacks it: contents, modes, links, names beyond 100 bytes", (t) => {
  const dir = mkdtempSync(join(tmpdir(), "weft-tar-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  writeFileSync(join(dir, "it.tar"), writeTar(example(), 86_400));
  execFileSync("tar", ["-xf", "it.tar"], { cwd: dir });
  assert.equal(readFileSync(join(dir, deep), "utf8"), "far down");
  assert.equal(readlinkSync(join(dir, "far")), deep);
  assert.equal(statSync(join(dir, "usr/bin/tool")).mode & 0o777, 0o755);
  assert.equal(statSync(join(dir, "usr/bin/tool")).mtimeMs, 86_400_000);
  assert.equal(readFileSync(join(dir, "bin/tool"), "utf8"), "#!/bin/sh\n");
});

test("an archive of GNU tar is read: long names, links, hard links as copies", (t) => {
  const dir = mkdtempSync(join(tmpdir(), "weft-tar-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  writeTree(example(), join(dir, "root"));
  execFileSync("ln", ["root/empty", "root/zero"], { cwd: dir });
  const archive = execFileSync("tar", ["--format=gnu", "--sort=name", "-cf", "-", "-C", "root", "."], {
    cwd: dir,
  });
  const read = readTar(archive);
  const expected: Tree = new Map(sorted(example()));
  expected.set("zero", { type: "file", mode: 0o644, data: Buffer.alloc(0) });
  assert.deepEqual(new Map([...read].sort()), new Map([...expected].sort()));
});
