// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { applets, commands, repository } from "../../tools/image/contents.ts";
import { writeImage } from "../../tools/image/oci.ts";
import { addFile, type Tree } from "../../tools/image/tree.ts";
import { type Containerd, startContainerd } from "./containerd.ts";

const root = join(import.meta.dirname, "../..");
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
const image = `${repository}:${version}`;
const dir = mkdtempSync(join(tmpdir(), "weft-image-run-"));
let containerd: Containerd;

before(async () => {
  containerd = await startContainerd();
  const archive = join(dir, "weft.tar");
  execFileSync(process.execPath, ["tools/image/image.ts", "--out", archive], { cwd: root });
  const imported = containerd.ctr("images", "import", "--snapshotter", "native", archive);
  assert.equal(imported.status, 0, imported.stderr);
});
after(async () => {
  await containerd?.stop();
  rmSync(dir, { recursive: true, force: true });
});

function output(...command: string[]): string {
  const { status, stdout, stderr } = containerd.run(image, ...command);
  assert.equal(status, 0, `${command.join(" ")}: ${stderr}`);
  return stdout.trim();
}

test("containerd knows it by its name", () => {
  assert.equal(containerd.ctr("images", "ls", "-q").stdout.trim(), image);
});

for (const command of Object.keys(commands)) {
  test(`${command} runs without network on a root that cannot be written`, () => {
    assert.equal(output(command, "--version"), version);
    assert.match(output(command, "--help"), new RegExp(`^Usage: ${command} `));
  });
}

test("an agent without its settings says what is missing", () => {
  const { status, stdout, stderr } = containerd.run(image, "weft-agent");
  assert.equal(status, 1);
  assert.match(stdout + stderr, /cannot read \/etc\/weft\/agent\.yaml/);
});

test("the root really is read-only, the shell and its tools are there, and so are the tools for test pods", () => {
  assert.equal(output("sh", "-c", "touch /x 2>/dev/null || echo read-only"), "read-only");
  const known = new Set(output("busybox", "--list").split("\n"));
  assert.deepEqual(
    applets.filter((name) => !known.has(name)),
    [],
  );
  const linked = output(
    "sh",
    "-c",
    `for name in ${applets.join(" ")}; do [ -x /bin/$name ] || echo $name; done`,
  );
  assert.equal(linked, "");
  const { stderr } = containerd.run(image, "/opt/weft/build/native/tools/curl");
  assert.match(stderr, /^usage: curl/);
});

test("one static program makes an image too, by two names", () => {
  const tree: Tree = new Map();
  addFile(tree, "program", readFileSync(join(root, "build/native/pod-exec")), 0o755);
  const names = ["weft.local/small:1", "weft.local/other/small:2"];
  const out = join(dir, "small.tar");
  const layers = [{ name: "all", title: "all", tree }];
  writeImage(
    { name: names[0]!, alsoNamed: names.slice(1), layers, entrypoint: ["/program"], command: ["--help"] },
    { out },
  );
  assert.equal(containerd.ctr("images", "import", "--snapshotter", "native", out).status, 0);
  const known = containerd.ctr("images", "ls", "-q").stdout.split("\n");
  for (const name of names) {
    assert.ok(known.includes(name), name);
    assert.match(containerd.run(name, "/program").stderr, /^pod-exec: usage/);
  }
});
