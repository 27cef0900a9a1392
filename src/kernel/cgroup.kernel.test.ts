// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import {
  cgroupId,
  cgroupOf,
  cgroupPids,
  cgroupRoot,
  createCgroup,
  joinCgroup,
  killCgroup,
  removeCgroup,
} from "#kernel/cgroup.ts";
import { listMounts, mountBpffs, parseMounts, unmount } from "#kernel/mounts.ts";

const NAME = `weft-test-${process.pid}`;
const BPF_FS_MAGIC = 0xcafe4a11;

describe("cgroups", { timeout: 60_000 }, () => {
  after(async () => await removeCgroup(join(cgroupRoot(), NAME)));

  test("hold processes, kill them and go away with what is below", async () => {
    const path = createCgroup(`${NAME}/pods/one`);
    assert.equal(createCgroup(`${NAME}/pods/one`), path);
    const child = spawn("sleep", ["1000"], { stdio: "ignore" });
    const exited = once(child, "exit");
    joinCgroup(path, child.pid!);
    assert.deepEqual(cgroupPids(path), [child.pid]);
    assert.equal(cgroupOf(child.pid!), path);
    assert.equal(typeof cgroupId(path), "bigint");
    assert.notEqual(cgroupId(path), cgroupId(join(cgroupRoot(), NAME)));
    await removeCgroup(join(cgroupRoot(), NAME));
    assert.equal((await exited)[1], "SIGKILL");
    assert.equal(existsSync(path), false);
    await removeCgroup(path);
    assert.deepEqual(cgroupPids(path), []);
    killCgroup(path);
  });

  test("moving a process that is gone is an error", () => {
    const path = createCgroup(NAME);
    assert.throws(() => joinCgroup(path, 0x3fffff), { code: "ESRCH" });
  });
});

describe("mounts", { timeout: 60_000 }, () => {
  test("bpffs is mounted once", () => {
    const dir = mkdtempSync(join(tmpdir(), "weft-bpffs-"));
    const path = join(dir, "with blank");
    try {
      assert.equal(mountBpffs(path), true);
      assert.equal(mountBpffs(path), false);
      assert.equal(statfsSync(path).type, BPF_FS_MAGIC);
      assert.equal(listMounts().filter((mount) => mount.target === path).length, 1);
      unmount(path);
      assert.throws(() => unmount(path), { code: "E_SYSCALL", errno: "EINVAL" });
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  test("the mount table's octal escapes are undone, broken lines left out", () => {
    assert.deepEqual(parseMounts("none /a\\040b\\134c cgroup2 rw,nosuid 0 0\nbroken\n"), [
      { source: "none", target: "/a b\\c", type: "cgroup2", options: ["rw", "nosuid"] },
    ]);
  });
});
