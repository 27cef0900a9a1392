// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { mergeValues, parseSet } from "./values-merge.ts";

test("maps are merged deeply, all else replaced, null takes away", () => {
  const below = { a: { b: 1, c: [1, 2] }, d: 4 };
  assert.deepEqual(mergeValues(below, { a: { c: [3] }, d: null, e: {} }), { a: { b: 1, c: [3] }, e: {} });
});

for (const [text, wanted] of [
  ["a.b=c", { a: { b: "c" } }],
  ["a=1,b=true,c=null,d=-5,e=01", { a: 1, b: true, c: null, d: -5, e: "01" }],
  ["x={a,2,true}", { x: ["a", 2, true] }],
  ["x={}", { x: [] }],
  ["labels.example\\.com/role=net", { labels: { "example.com/role": "net" } }],
  ["a=1\\,2", { a: "1,2" }],
  ["a.b=1,a.c=2", { a: { b: 1, c: 2 } }],
  ["a=", { a: "" }],
  ["a=x=y", { a: "x=y" }],
] as const)
  test(`--set ${text}`, () => assert.deepEqual(parseSet(text), wanted));

for (const text of ["a", "=1", "a[0]=1", "a..b=1"])
  test(`--set ${text} is refused`, () => assert.throws(() => parseSet(text), { code: "E_USAGE" }));
