// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { commands, installDir, packages } from "../../tools/image/contents.ts";
import { blobPath, sha256 } from "../../tools/image/oci.ts";
import { readTar } from "../../tools/image/tar.ts";
import type { Tree } from "../../tools/image/tree.ts";

interface Blob {
  readonly digest: string;
}
interface Component {
  readonly type: string;
  readonly name: string;
  readonly version?: string;
  readonly licenses?: unknown[];
  readonly hashes?: readonly { readonly content: string }[];
}

const root = join(import.meta.dirname, "../..");
const dir = mkdtempSync(join(tmpdir(), "weft-image-"));
const archives = ["one", "two"].map((name) => join(dir, `${name}.tar`));
let archive: Tree;
let layers: Tree[];
let image: Tree;
let rootBytes = 0;

function data(tree: Tree, path: string): Buffer {
  const entry = tree.get(path);
  assert.ok(entry?.type === "file", `${path} is a file`);
  return entry.data;
}

function json<T>(tree: Tree, path: string): T {
  return JSON.parse(data(tree, path).toString()) as T;
}

before(() => {
  for (const out of archives) {
    const args = ["tools/image/image.ts", "--out", out, ...(out === archives[1] ? ["--no-cache"] : [])];
    execFileSync(process.execPath, args, { cwd: root, env: { ...process.env, TZ: "Asia/Tokyo" } });
  }
  archive = readTar(readFileSync(archives[0]!));
  const index = json<{ manifests: Blob[] }>(archive, "index.json");
  const manifest = json<{ layers: Blob[] }>(archive, blobPath(index.manifests[0]!));
  layers = manifest.layers.map((layer) => {
    const tar = gunzipSync(data(archive, blobPath(layer)));
    rootBytes += tar.length;
    return readTar(tar);
  });
  image = new Map(layers.flatMap((layer) => [...layer]));
});
after(() => rmSync(dir, { recursive: true, force: true }));

test("the same inputs give the same bytes, from the cache and without it", () => {
  assert.equal(sha256(readFileSync(archives[0]!)), sha256(readFileSync(archives[1]!)));
  assert.deepEqual(readFileSync(join(dir, "one.sbom.json")), readFileSync(join(dir, "two.sbom.json")));
});

test("every blob is what its name says", () => {
  const blobs = [...archive].filter(([path]) => path.startsWith("blobs/sha256/"));
  for (const [path, entry] of blobs) {
    if (entry.type === "file") assert.equal(path, `blobs/sha256/${sha256(entry.data)}`);
  }
  const [docker] = json<{ Config: string; Layers: string[] }[]>(archive, "manifest.json");
  for (const path of [docker!.Config, ...docker!.Layers]) assert.ok(archive.has(path), path);
});

test("it stays under 250 MB, and what changes often is the small part", () => {
  assert.ok(rootBytes < 250e6, `${rootBytes} bytes`);
  const bytes = (layer: Tree) =>
    [...layer.values()].reduce((n, one) => n + (one.type === "file" ? one.data.length : 0), 0);
  assert.ok(bytes(layers.at(-1)!) < 50e6, `${bytes(layers.at(-1)!)} bytes of our own`);
});

test("every command is there and runs a bundle that is there", () => {
  for (const [command, bundle] of Object.entries(commands)) {
    const path = `${installDir}/dist/${bundle}.mjs`;
    assert.ok(image.has(path), `${bundle}.mjs for ${command}`);
    assert.match(data(image, `usr/local/bin/${command}`).toString(), new RegExp(` /${path} `));
  }
});

test("nothing of the lab, of development or of a person's machine is in it", () => {
  for (const [path, entry] of image) {
    // A chunk is a part of a command; the command `lab` is one of them, its node and its supervisor are not.
    assert.doesNotMatch(path, /(?<!\/chunks)\/lab-|\.map$|\.test\.|\.ts$|\/man\d?\/|\.cache/);
    if (entry.type === "file" && path.startsWith(`${installDir}/dist/`)) {
      assert.ok(!entry.data.includes(`${root}/`), `${path} names a path of the machine that built it`);
    }
  }
});

test("the list of contents names every package, every bundled module with its licence, and every file of ours", () => {
  const list = json<{ components: Component[] }>(image, `${installDir}/sbom.json`).components;
  const status = data(image, "var/lib/dpkg/status").toString();
  for (const name of packages) {
    const version = new RegExp(
      `^Package: ${name.replaceAll("+", "\\+")}\n(?:.+\n)*?Version: (.+)$`,
      "m",
    ).exec(status)?.[1];
    assert.equal(list.find((one) => one.name === name)?.version, version, name);
  }
  const bundled = JSON.parse(readFileSync(join(root, "dist/modules.json"), "utf8")) as string[];
  for (const folder of [...bundled, "node_modules/koffi"]) {
    const name = folder.slice(folder.lastIndexOf("node_modules/") + "node_modules/".length);
    const component = list.find((one) => one.name === name);
    assert.ok(component?.version && component.licenses, name);
    assert.doesNotMatch(JSON.stringify(component.licenses), /NOASSERTION/, name);
  }
  assert.equal(list.find((one) => one.name === "node")?.version, process.versions.node);
  const files = new Map(
    list.filter((one) => one.type === "file").map((one) => [one.name, one.hashes![0]!.content]),
  );
  for (const [path, entry] of layers.at(-1)!) {
    if (entry.type !== "file" || path === `${installDir}/sbom.json`) continue;
    assert.equal(files.get(`/${path}`), sha256(entry.data), path);
  }
});
