// SPDX-License-Identifier: Apache-2.0
// Pages that promise to be complete are.
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { serviceKinds } from "#api/crd/service-kinds.ts";
import { sockmapAnnotation } from "#model/annotations.ts";

const root = join(import.meta.dirname, "../..");
const read = (file: string) => readFileSync(join(root, file), "utf8");
const page = read("docs/load-balancing.md");
const firstColumn = (text: string) => [...text.matchAll(/^\| `([^`]+)` \|/gm)].map(([, name]) => name!);

/** Settings that have to do with Services, or with the addresses that traffic comes by and leaves with. */
const concerned =
  /^(config\.(services|xdp|l2Announcements|acceleration)\..*|config\.(masquerade|nativeRoutingCidrs|egressGateway)|operator\.config\.lbIpam\..*)$/;

test("docs/load-balancing.md has every setting of load balancing, with its default", () => {
  const rows = [...read("docs/reference/values.md").matchAll(/^\| `([^`]+)` \| .*? \| (`.*?`)? ?\| /gm)];
  const settings = rows
    .filter(([, name]) => concerned.test(name!))
    .map(([, name, value = ""]) => [name, value]);
  const shown = [...page.matchAll(/^\| `((?:config|operator)\.[^`]+)` \| (`.*?`)? ?\| /gm)];
  assert.deepEqual(shown.map(([, name, value = ""]) => [name, value]).sort(), settings.sort());
});

test("docs/load-balancing.md has every annotation that is read, and no other", () => {
  const source = read("src/services/annotations.ts");
  const own = [...source.matchAll(/(?:\$\{prefix\}|oneOf\()"?([a-z-]+)/g)].map(
    ([, name]) => `service.cilium.io/${name}`,
  );
  const others = [...read("src/operator/lb-ipam-service.ts").matchAll(/"(lbipam\.cilium\.io\/[a-z-]+)"/g)];
  const known = new Set([...own, ...others.map(([, name]) => name!), sockmapAnnotation]);
  const shown = firstColumn(page).filter((name) => /^(service\.cilium|lbipam\.cilium|weft)\.io\//.test(name));
  assert.deepEqual(shown.sort(), [...known].sort());
});

test("docs/load-balancing.md has every kind by which Services are given addresses and ways", () => {
  for (const { kind } of serviceKinds) assert.match(page, new RegExp(`^\\| ${kind} \\|`, "m"));
});

test("docs/README.md leads to every page", () => {
  const index = read("docs/README.md");
  for (const file of globSync("docs/**/*.md", { cwd: root }).filter((name) => name !== "docs/README.md"))
    assert.ok(index.includes(`(${file.slice("docs/".length)})`), file);
});

test("links between pages lead somewhere, to a heading too", () => {
  const anchor = (heading: string) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replace(/\s/g, "-");
  const anchorsOf = (file: string) =>
    [...read(file).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchor(heading!));
  const pages = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];
  for (const file of [...pages, ...globSync("docs/**/*.md", { cwd: root }), "tests/policy/README.md"]) {
    for (const [, target = ""] of read(file).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
      const [path = "", heading] = target.split("#");
      const to = path === "" ? file : join(dirname(file), path);
      assert.ok(existsSync(join(root, to)), `${file}: ${target}`);
      if (heading !== undefined && to.endsWith(".md"))
        assert.ok(anchorsOf(to).includes(heading), `${file}: ${target} is no heading of ${to}`);
    }
  }
});
