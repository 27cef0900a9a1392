// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type ImageMap, loadImageMap, playOf } from "./image-map.ts";

const map: ImageMap = [
  { image: "*/special:1", entrypoint: [], cmd: [], env: {}, standIn: true },
  {
    image: "docker.io/*",
    entrypoint: ["/bin/app"],
    cmd: ["serve"],
    env: {},
    standIn: false,
    root: "/images/app",
  },
  { image: "fixed", run: ["/bin/true"], entrypoint: [], cmd: [], env: {}, standIn: false },
];

function argv(container: {
  image: string;
  command?: string[];
  args?: string[];
}): readonly string[] | "stand-in" {
  const play = playOf(map, { name: "c", ...container });
  return play.kind === "stand-in" ? "stand-in" : play.argv;
}

test("command and args take the place of entrypoint and cmd as in a container runtime", () => {
  assert.deepEqual(argv({ image: "docker.io/x" }), ["/bin/app", "serve"]);
  assert.deepEqual(argv({ image: "docker.io/x", args: ["-v"] }), ["/bin/app", "-v"]);
  assert.deepEqual(argv({ image: "docker.io/x", command: ["sh"] }), ["sh"]);
  assert.deepEqual(argv({ image: "docker.io/x", command: ["sh"], args: ["-c"] }), ["sh", "-c"]);
  assert.deepEqual(argv({ image: "fixed", command: ["sh"] }), ["/bin/true"]);
});

test("the first rule that fits decides; what none fits is a stand-in", () => {
  assert.equal(argv({ image: "docker.io/special:1" }), "stand-in");
  assert.equal(argv({ image: "quay.io/x" }), "stand-in");
});

test("a map with an unknown field is refused with its place", () => {
  const dir = mkdtempSync(join(tmpdir(), "weft-images-"));
  try {
    const path = join(dir, "map.yaml");
    writeFileSync(path, "images:\n- image: a\n  rooot: /x\n");
    assert.throws(() => loadImageMap(path), { code: "E_IMAGE_MAP", message: /images\.0: .*rooot/ });
    writeFileSync(path, "images:\n- image: a\n  root: files\n");
    assert.equal(loadImageMap(path)[0]?.root, join(dir, "files"));
  } finally {
    rmSync(dir, { recursive: true });
  }
});
