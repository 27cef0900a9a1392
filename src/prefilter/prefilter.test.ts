// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Prefix } from "#model/ip.ts";
import { parsePrefix } from "#model/ip.ts";
import { changeList, type DeniedCidrs, readChange } from "./change.ts";
import { mostCidrs, parseCidr, parseCidrList } from "./cidrs.ts";
import { readListFile, writeListFile } from "./file.ts";
import { cutOff, linkLocal } from "./lock-out.ts";

const listOf = (...cidrs: string[]): DeniedCidrs =>
  new Map(cidrs.map((cidr) => [cidr as Prefix, { cidr: cidr as Prefix, addedSec: 1, comment: "first" }]));
const after = (before: DeniedCidrs, body: unknown) => [...changeList(before, readChange(body), 2).values()];

test("a prefix or an address, and nothing that is only nearly one", () => {
  assert.equal(parseCidr("192.0.2.1"), "192.0.2.1/32");
  assert.equal(parseCidr("2001:DB8::/32"), "2001:db8::/32");
  assert.equal(parseCidr("2001:db8::1"), "2001:db8::1/128");
  for (const wrong of [
    "",
    "192.0.2",
    "192.0.2.0/33",
    "192.0.2.0/",
    "10.0.0.0/8/8",
    "fe80::1%eth0",
    "example.org",
  ])
    assert.throws(() => parseCidr(wrong), { code: "E_CIDR" }, wrong);
  assert.throws(() => parseCidr("192.0.2.1/24"), {
    code: "E_CIDR",
    message: '"192.0.2.1/24" has host bits set',
    hint: "write 192.0.2.0/24 if all of it is meant, or 192.0.2.1 for the one address",
  });
});

test("lists are as feeds publish them; what is wrong is named by its line", () => {
  const text = "# feed\r\n192.0.2.0/24 ; SBL1\r\n\r\n198.51.100.7, 2001:db8::/32\n";
  assert.deepEqual(parseCidrList(text, "feed"), ["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/32"]);
  assert.throws(() => parseCidrList("192.0.2.0/24\nnonsense\n", "feed"), {
    code: "E_CIDR",
    message: /^feed:2: "nonsense" is neither/,
  });
});

test("adding keeps what is there, deleting demands it, replacing keeps what stays", () => {
  const before = listOf("192.0.2.0/24", "198.51.100.0/24");
  assert.deepEqual(after(before, { op: "add", cidrs: ["192.0.2.0/24", "203.0.113.0/24"], comment: "now" }), [
    { cidr: "192.0.2.0/24", addedSec: 1, comment: "first" },
    { cidr: "198.51.100.0/24", addedSec: 1, comment: "first" },
    { cidr: "203.0.113.0/24", addedSec: 2, comment: "now" },
  ]);
  const cidrs = ["192.0.2.0/24", "203.0.113.0/24"];
  assert.throws(() => after(before, { op: "delete", cidrs }), {
    code: "E_NOT_FOUND",
    message: /203\.0\.113\.0\/24$/,
  });
  const left = after(before, { op: "delete", cidrs, ignoreNotFound: true });
  assert.deepEqual(left, [{ cidr: "198.51.100.0/24", addedSec: 1, comment: "first" }]);
  assert.deepEqual(after(before, { op: "replace", cidrs }), [
    { cidr: "192.0.2.0/24", addedSec: 1, comment: "first" },
    { cidr: "203.0.113.0/24", addedSec: 2, comment: "" },
  ]);
  assert.deepEqual(after(before, { op: "flush" }), []);
});

test("what is asked is read whole or refused", () => {
  for (const wrong of [null, {}, { op: "deny" }, { op: "add", cidrs: "x" }, { op: "add", cidr: [] }])
    assert.throws(() => readChange(wrong), { code: "E_PREFILTER_REQUEST" });
  assert.throws(() => readChange({ op: "add", cidrs: ["192.0.2.0/24", "x"] }), { code: "E_CIDR" });
  const many = Array.from({ length: mostCidrs }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
  assert.equal(after(new Map(), { op: "add", cidrs: many }).length, mostCidrs);
  assert.throws(() => after(listOf("192.0.2.0/24"), { op: "add", cidrs: many }), { code: "E_TOO_MANY" });
});

test("who would be cut off is named with the prefix that does it", () => {
  const needed = [
    linkLocal,
    { prefix: parsePrefix("10.0.0.7/32"), who: "node n2" },
    { prefix: parsePrefix("10.1.0.0/24"), who: "pods of node n2" },
    { prefix: parsePrefix("fd00::7/128"), who: "the API server" },
  ];
  const cut = (...cidrs: string[]) => cutOff(cidrs.map(parsePrefix), needed);
  assert.deepEqual(cut(), []);
  assert.deepEqual(cut("10.0.0.8/29", "10.2.0.0/16", "fd01::/16", "0.0.0.0/32"), []);
  assert.deepEqual(cut("10.0.0.0/8"), [
    "10.0.0.0/8: node n2 (10.0.0.7)",
    "10.0.0.0/8: pods of node n2 (10.1.0.0/24)",
  ]);
  assert.deepEqual(cut("10.0.0.7/32", "10.0.0.0/16"), ["10.0.0.7/32: node n2 (10.0.0.7)"]);
  assert.deepEqual(cut("10.1.0.128/25"), ["10.1.0.128/25: pods of node n2 (part of 10.1.0.0/24)"]);
  assert.deepEqual(cut("0.0.0.0/0").length, 2);
  assert.deepEqual(cut("::/0"), [
    "::/0: the neighbours on the link (fe80::/10)",
    "::/0: the API server (fd00::7)",
  ]);
  assert.deepEqual(cut("fe80::1/128"), ["fe80::1/128: the neighbours on the link (part of fe80::/10)"]);
});

test("the list comes back from its file, and a spoilt file is not taken for an empty list", () => {
  const dir = mkdtempSync(join(tmpdir(), "weft-prefilter-"));
  const file = join(dir, "prefilter.json");
  try {
    assert.deepEqual(readListFile(file), new Map());
    const list = listOf("192.0.2.0/24", "2001:db8::/32");
    writeListFile(file, list);
    assert.deepEqual(readListFile(file), list);
    writeFileSync(file, "{");
    assert.throws(() => readListFile(file), { code: "E_PREFILTER_FILE" });
    assert.throws(() => writeListFile(join(dir, "nowhere", "list"), list), { code: "E_PREFILTER_FILE" });
  } finally {
    rmSync(dir, { recursive: true });
  }
});
