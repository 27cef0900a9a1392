// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, before, beforeEach, suite, test } from "node:test";
import { createNetns, deleteNetns } from "#kernel/netns.ts";
import { createLogger } from "#lib/log.ts";
import { installCniPrograms, removeCniPrograms } from "./cni-program.ts";

const root = join(import.meta.dirname, "../..");
const log = createLogger("test", "silent");

suite("CNI programs on a node", () => {
  let dir: string;
  before(() => {
    execFileSync("sh", [join(root, "tools/build-native.sh")]);
  });
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "weft-cni-bin-"));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  test("installed, left alone when the same, replaced when not, removed", () => {
    installCniPrograms(dir, log);
    assert.deepEqual(readdirSync(dir).sort(), ["loopback", "weft-cni"]);
    assert.equal(statSync(join(dir, "weft-cni")).mode & 0o777, 0o755);
    const { ino } = statSync(join(dir, "weft-cni"));
    installCniPrograms(dir, log);
    assert.equal(statSync(join(dir, "weft-cni")).ino, ino);
    writeFileSync(join(dir, "weft-cni"), "older");
    writeFileSync(join(dir, "loopback"), "an older weft-loopback");
    installCniPrograms(dir, log);
    for (const name of ["weft-cni", "loopback"])
      assert.deepEqual(readFileSync(join(dir, name)), readFileSync(join(root, "build/native", name)));
    assert.equal(removeCniPrograms(dir).length, 2);
    assert.deepEqual([readdirSync(dir), removeCniPrograms(dir)], [[], []]);
  });

  test("another's loopback stays, also as a link to what is not to be seen from here", () => {
    for (const make of [
      (path: string) => writeFileSync(path, "another"),
      (path: string) => symlinkSync("/nowhere/loopback", path),
    ]) {
      const path = join(dir, "loopback");
      make(path);
      const { ino } = lstatSync(path);
      installCniPrograms(dir, log);
      removeCniPrograms(dir);
      assert.equal(lstatSync(path).ino, ino);
      rmSync(path);
    }
  });

  test("loopback brings lo up, says so in every version, and CHECKs it", () => {
    const name = `weft-lo-${process.pid}`;
    const netns = createNetns(name);
    try {
      const call = (command: string, cniVersion: string) =>
        execFileSync(join(root, "build/native/loopback"), {
          encoding: "utf8",
          input: JSON.stringify({ cniVersion, name: "cni-loopback", type: "loopback" }),
          env: {
            CNI_COMMAND: command,
            CNI_NETNS: netns,
            CNI_CONTAINERID: "c",
            CNI_IFNAME: "lo",
            CNI_PATH: "/",
          },
        });
      assert.throws(() => call("CHECK", "1.0.0"), /Command failed/);
      for (const version of ["0.1.0", "0.2.0"])
        assert.equal(JSON.parse(call("ADD", version)).ip4.ip, "127.0.0.1/8");
      for (const [version, ip] of [
        ["0.3.1", "4"],
        ["0.4.0", "4"],
        ["1.0.0", undefined],
        ["1.1.0", undefined],
      ] as const) {
        const { cniVersion, interfaces, ips } = JSON.parse(call("ADD", version));
        assert.deepEqual([cniVersion, interfaces[0].sandbox, ips[0].version], [version, netns, ip]);
      }
      for (const command of ["CHECK", "DEL", "GC", "STATUS"]) assert.equal(call(command, "1.1.0"), "");
      assert.match(
        execFileSync("ip", ["-n", name, "link", "show", "lo"], { encoding: "utf8" }),
        /LOOPBACK,UP/,
      );
      assert.throws(() => call("ADD", "9.0.0"), /Command failed/);
    } finally {
      deleteNetns(name);
    }
  });
});
