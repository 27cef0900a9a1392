// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "./object.ts";
import { jsonPatch } from "./patch-json.ts";
import { mergePatch } from "./patch-merge.ts";
import { strategicPatch } from "./patch-strategic.ts";
import { builtinSchema } from "./schema/builtin.ts";
import { duplicateFields } from "./schema/duplicates.ts";

const podSchema = builtinSchema("V1Pod");
const pod = {
  metadata: { finalizers: ["a", "b"], labels: { x: "1" } },
  spec: {
    containers: [
      {
        name: "one",
        image: "i1",
        env: [{ name: "A", value: "1" }],
        ports: [{ containerPort: 80, protocol: "TCP" }],
      },
      { name: "two", image: "i2", args: ["a", "b"] },
    ],
    tolerations: [{ key: "t1" }],
    volumes: [{ name: "v", emptyDir: {} }],
  },
};
const spec = (patch: JsonObject) =>
  (strategicPatch(podSchema, pod, { spec: patch }) as unknown as typeof pod).spec;

test("strategic merge: lists with a key merge, others are replaced", () => {
  const merged = spec({ containers: [{ name: "one", image: "new", env: [{ name: "B", value: "2" }] }] });
  assert.deepEqual(
    merged.containers.map((c) => [c.name, c.image]),
    [
      ["one", "new"],
      ["two", "i2"],
    ],
  );
  assert.deepEqual(
    merged.containers[0]!.env!.map((e) => e.name),
    ["A", "B"],
  );
  assert.deepEqual(spec({ containers: [{ name: "two", args: ["c"] }] }).containers[1]!.args, ["c"]);
  assert.deepEqual(spec({ tolerations: [{ key: "t2" }] }).tolerations, [{ key: "t2" }]);
  assert.deepEqual(
    spec({ containers: [{ name: "three", image: "i3" }] }).containers.map((c) => c.name),
    ["one", "two", "three"],
  );
});

test("strategic merge: directives", () => {
  assert.deepEqual(
    spec({ containers: [{ name: "one", $patch: "delete" }] }).containers.map((c) => c.name),
    ["two"],
  );
  assert.deepEqual(spec({ containers: [{ $patch: "replace" }, { name: "x", image: "y" }] }).containers, [
    { name: "x", image: "y" },
  ] as never);
  const order = [{ name: "two" }, { name: "one" }];
  assert.deepEqual(
    spec({ "$setElementOrder/containers": order, containers: [{ name: "one", image: "n" }] }).containers.map(
      (c) => c.name,
    ),
    ["two", "one"],
  );
  const meta = strategicPatch(podSchema, pod, {
    metadata: {
      "$deleteFromPrimitiveList/finalizers": ["a"],
      finalizers: ["c"],
      labels: { $patch: "replace", y: "2" },
    },
  });
  assert.deepEqual((meta as typeof pod).metadata, { finalizers: ["b", "c"], labels: { y: "2" } });
  const volumes = spec({
    volumes: [{ name: "v", $retainKeys: ["name", "hostPath"], hostPath: { path: "/x" } }],
  }).volumes;
  assert.deepEqual(volumes, [{ name: "v", hostPath: { path: "/x" } }] as never);
  assert.deepEqual(spec({ containers: [{ name: "one", env: null }] }).containers[0]!.env, undefined);
  assert.throws(() => spec({ containers: [{ image: "x" }] }), /does not contain declared merge key: name/);
});

test("a patch leaves its target as it was", () => {
  const before = JSON.stringify(pod);
  spec({ containers: [{ name: "one", image: "new" }], volumes: [{ name: "v", $patch: "delete" }] });
  jsonPatch(pod, [{ op: "replace", path: "/spec/containers/0/image", value: "z" }]);
  mergePatch(pod, { spec: { volumes: null } });
  assert.equal(JSON.stringify(pod), before);
});

test("merge patch (RFC 7386)", () => {
  assert.deepEqual(
    mergePatch({ a: { b: 1, c: 2 }, d: [1, 2] }, { a: { b: null, e: { f: null, g: 1 } }, d: [3] }),
    { a: { c: 2, e: { g: 1 } }, d: [3] },
  );
});

test("JSON patch (RFC 6902)", () => {
  const document = { a: [1, 2], "b/c": { "~d": 1 } };
  const run = (...patch: object[]) => jsonPatch(document, patch as never);
  assert.deepEqual(run({ op: "add", path: "/a/1", value: 9 }), { ...document, a: [1, 9, 2] });
  assert.deepEqual(run({ op: "add", path: "/a/-", value: 3 }), { ...document, a: [1, 2, 3] });
  assert.deepEqual(run({ op: "remove", path: "/b~1c/~0d" }), { a: [1, 2], "b/c": {} });
  assert.deepEqual(run({ op: "move", from: "/a/0", path: "/x" }), { ...document, a: [2], x: 1 });
  assert.deepEqual(run({ op: "copy", from: "/a", path: "/x" }), { ...document, x: [1, 2] });
  assert.deepEqual(run({ op: "test", path: "/a/0", value: 1 }), document);
  assert.throws(() => run({ op: "test", path: "/a/0", value: 2 }), { httpCode: 422 });
  assert.throws(() => run({ op: "replace", path: "/nope", value: 2 }), { httpCode: 422 });
  assert.throws(() => run({ op: "add", path: "/__proto__/x", value: 2 }), { httpCode: 422 });
  assert.throws(() => run({ op: "add", path: "/__proto__", value: {} }), { httpCode: 422 });
  assert.throws(() => run({ op: "add", path: "/a/7", value: 2 }), { httpCode: 422 });
  assert.throws(() => run({ op: "frob", path: "/a" }), { httpCode: 400 });
});

test("duplicate fields of a JSON text", () => {
  assert.deepEqual(
    duplicateFields('{"a":1,"b":{"c":[{"d":1,"d":2},{"d":"x,{\\"e\\":"}],"c":0},"a":"a\\"b"}'),
    ["b.c[0].d", "b.c", "a"],
  );
  assert.deepEqual(duplicateFields('{"a":{"x":1},"b":{"x":1},"c":["a","a"]}'), []);
});
