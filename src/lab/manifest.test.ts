// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseManifest } from "#k8s/manifest.ts";
import { loadManifests } from "./manifest.ts";

const good = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

test("documents are numbered in their file, empty ones count", () => {
  const documents = parseManifest("x.yaml", `# a comment\n---\n${good}---\n---\n${good}`);
  assert.deepEqual(
    documents.map(({ number, object }) => [number, object.metadata.name]),
    [
      [1, "a"],
      [3, "a"],
    ],
  );
});

test("a list is taken apart", () => {
  const list = JSON.stringify({
    apiVersion: "v1",
    kind: "List",
    items: [{ apiVersion: "v1", kind: "Pod", metadata: { name: "p" } }],
  });
  assert.deepEqual(
    parseManifest("x.json", list).map(({ object }) => object.kind),
    ["Pod"],
  );
});

const bad: [string, string, RegExp][] = [
  ["broken YAML", `${good}---\na: [\n`, /^x\.yaml, document 2, line \d+, column \d+: /],
  ["a key twice", "apiVersion: v1\nkind: A\nkind: B\nmetadata: {name: a}\n", /document 1, line 3.*unique/],
  ["no kind", "apiVersion: v1\nmetadata: {name: a}\n", /document 1: kind: missing/],
  ["no name", "apiVersion: v1\nkind: Pod\nmetadata: {}\n", /document 1: metadata\.name: missing/],
  ["a number for a name", "apiVersion: v1\nkind: Pod\nmetadata: {name: 5}\n", /metadata\.name: not a text/],
  ["no object", "- a\n", /document 1: document: not an object/],
];

for (const [name, text, message] of bad) {
  test(`${name} names file, document and field`, () => {
    assert.throws(() => parseManifest("x.yaml", text), { code: "E_MANIFEST", message });
  });
}

test("a directory gives its YAML and JSON files in order", () => {
  const dir = mkdtempSync(join(tmpdir(), "weft-manifest-"));
  try {
    writeFileSync(join(dir, "b.yaml"), good);
    writeFileSync(join(dir, "a.yml"), good);
    writeFileSync(join(dir, "README.md"), "no manifest");
    assert.deepEqual(
      loadManifests([dir]).map(({ file }) => file),
      [join(dir, "a.yml"), join(dir, "b.yaml")],
    );
    assert.throws(() => loadManifests([join(dir, "none.yaml")]), {
      code: "E_MANIFEST",
      message: /no such file/,
    });
  } finally {
    rmSync(dir, { recursive: true });
  }
});
