// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { checkRequirements } from "#datapath/requirements.ts";
import { netnsInode } from "#kernel/netns.ts";

test("a machine that runs the tests has all, and the question leaves no trace", () => {
  const before = netnsInode("/proc/thread-self/ns/net");
  const found = checkRequirements({ families: [4, 6], tunnel: true });
  assert.deepEqual(
    found.filter(({ problem, fatal }) => fatal && problem !== undefined),
    [],
  );
  const names = found.map(({ what }) => what);
  for (const what of ["tcx links", "VXLAN devices", "routes with encapsulation", "kernel parameters of IPv6"])
    assert.ok(names.includes(what), what);
  assert.equal(netnsInode("/proc/thread-self/ns/net"), before);
});

test("native routing asks for no tunnel", () => {
  const found = checkRequirements({ families: [4], tunnel: false }).map(({ what }) => what);
  assert.ok(!found.some((what) => /VXLAN|encapsulation|IPv6/.test(what)));
});

test("without rights the capabilities that lack are named, once", () => {
  const code = `import { checkRequirements } from "#datapath/requirements.ts";
    console.log(JSON.stringify(checkRequirements({ families: [4], tunnel: true })));`;
  const { stdout, stderr } = spawnSync(
    "setpriv",
    [
      "--bounding-set=-bpf,-net_admin",
      "--inh-caps=-all",
      process.execPath,
      "--input-type=module",
      "-e",
      code,
    ],
    { encoding: "utf8", timeout: 30_000 },
  );
  const [only, ...more] = JSON.parse(stdout || "[]") as { problem: string }[];
  assert.deepEqual(more, [], stderr);
  assert.equal(only?.problem, "the process lacks CAP_NET_ADMIN, CAP_BPF");
});
