// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CoreEndpoint } from "./core-endpoint.ts";
import { holds, type Slice, SliceBook } from "./slices.ts";

const endpoint = (name: string, id = 300): CoreEndpoint => ({
  name,
  id,
  networking: { addressing: [{ ipv4: "10.0.0.1" }], node: "192.168.0.1" },
});

const slice = (name: string, namespace: string, ...names: string[]): Slice => ({
  name,
  namespace,
  uid: name,
  resourceVersion: "1",
  endpoints: names.map((one) => endpoint(one)),
});

const many = (namespace: string, count: number) =>
  Array.from({ length: count }, (_, i) => `${namespace}/p${i}`);

test("a hundred endpoints of one namespace share a slice", () => {
  const book = new SliceBook([]);
  const names = new Set([...many("a", 250), ...many("b", 1)].map((key) => book.add(key)));
  assert.deepEqual([names.size, book.size], [4, 4]);
  const sizes = [...names].map((name) => book.members(name)!.keys.size);
  assert.deepEqual(sizes, [100, 100, 50, 1]);
  for (const name of names) {
    const { namespace, keys } = book.members(name)!;
    for (const key of keys) assert.ok(key.startsWith(`${namespace}/`));
  }
});

test("an endpoint stays where it is, and the fullest slice with room is filled first", () => {
  const book = new SliceBook([]);
  for (const key of many("a", 150)) book.add(key);
  const first = book.add("a/p0");
  const second = book.add("a/p149");
  for (let i = 0; i < 10; i++) book.remove(`a/p${i}`);
  assert.equal(book.add("a/new"), first);
  assert.equal(book.add("a/p149"), second);
});

test("an empty slice shall not be", () => {
  const book = new SliceBook([]);
  const name = book.add("a/p");
  assert.equal(book.remove("a/p"), name);
  assert.deepEqual([book.members(name), book.size, book.remove("a/p")], [undefined, 0, undefined]);
});

test("what is there is taken up; of a double the first slice counts", () => {
  const book = new SliceBook([slice("ces-2", "a", "x", "y"), slice("ces-1", "a", "y"), slice("odd", "")]);
  assert.equal(book.add("a/x"), "ces-2");
  assert.equal(book.add("a/y"), "ces-1");
  assert.deepEqual([...book.endpoints()].sort(), ["a/x", "a/y"]);
});

test("the order of a slice's endpoints does not matter, their content does", () => {
  const stored = slice("s", "a", "x", "y");
  assert.equal(holds(stored, [endpoint("y"), endpoint("x")]), true);
  assert.equal(holds(stored, [endpoint("y"), endpoint("x", 301)]), false);
  assert.equal(holds(stored, [endpoint("x")]), false);
});
