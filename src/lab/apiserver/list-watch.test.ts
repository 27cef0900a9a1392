// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { configMap, startTestServer, type TestServer } from "./fixture.ts";
import { listAt, objectAt, stringAt } from "./object.ts";

const maps = "/api/v1/namespaces/default/configmaps";
let api: TestServer;
before(async () => {
  api = await startTestServer();
});
after(() => api[Symbol.asyncDispose]());

const names = (list: Parameters<typeof listAt>[0]) =>
  listAt(list, "items").map((item) => stringAt(item, "metadata", "name"));
const version = (answer: { body: Parameters<typeof stringAt>[0] }) =>
  stringAt(answer.body, "metadata", "resourceVersion");

test("a list is read in pages that all show the state of the first", async () => {
  for (let i = 0; i < 5; i++)
    await api.call("POST", maps, configMap(`page-${i}`, {}, { labels: { set: "pages" } }));
  const query = "labelSelector=set%3Dpages&limit=2";
  const first = await api.call("GET", `${maps}?${query}`);
  assert.deepEqual(names(first.body), ["page-0", "page-1"]);
  await api.call("DELETE", `${maps}/page-3`);
  const second = await api.call(
    "GET",
    `${maps}?${query}&continue=${stringAt(first.body, "metadata", "continue")}`,
  );
  assert.deepEqual(names(second.body), ["page-2", "page-3"]);
  assert.equal(version(second), version(first));
  const third = await api.call(
    "GET",
    `${maps}?${query}&continue=${stringAt(second.body, "metadata", "continue")}`,
  );
  assert.deepEqual(names(third.body), ["page-4"]);
  assert.equal(stringAt(third.body, "metadata", "continue"), "");
  const gone = await api.call(
    "GET",
    `${maps}?${query}&continue=${Buffer.from("99999/2").toString("base64url")}`,
  );
  assert.equal(gone.code, 410);
  assert.equal(gone.body["reason"], "Expired");
});

test("label and field selectors", async () => {
  await api.call("POST", maps, configMap("sel-a", {}, { labels: { tier: "web", env: "dev" } }));
  await api.call("POST", maps, configMap("sel-b", {}, { labels: { tier: "db", env: "dev" } }));
  const list = async (selector: string) => names((await api.call("GET", `${maps}?${selector}`)).body);
  const labels = (text: string) => list(`labelSelector=${encodeURIComponent(text)}`);
  assert.deepEqual(await labels("env=dev,tier!=web"), ["sel-b"]);
  assert.deepEqual(await labels("tier in (web,db)"), ["sel-a", "sel-b"]);
  assert.deepEqual(await labels("env,tier notin (web)"), ["sel-b"]);
  assert.deepEqual(await labels("env,!tier"), []);
  assert.deepEqual(await list("fieldSelector=metadata.name%3Dsel-a"), ["sel-a"]);
  const bad = await api.call("GET", `${maps}?fieldSelector=spec.foo%3Da`);
  assert.equal(bad.code, 400);
  assert.match(String(bad.body["message"]), /"spec\.foo" is not a known field selector/);
});

test("a watch from a version hears everything after it, once", async () => {
  const list = await api.call("GET", maps);
  await api.call("POST", maps, configMap("w1"));
  const watch = await api.watch(`${maps}?watch=true&resourceVersion=${version(list)}`);
  const added = await watch.next();
  assert.equal(added?.type, "ADDED");
  assert.equal(added?.object.metadata.name, "w1");
  await api.call(
    "PATCH",
    `${maps}/w1`,
    { data: { a: "1" } },
    { "content-type": "application/merge-patch+json" },
  );
  const changed = await watch.next();
  assert.deepEqual([changed?.type, objectAt(changed?.object, "data")], ["MODIFIED", { a: "1" }]);
  await api.call("DELETE", `${maps}/w1`);
  const deleted = await watch.next();
  assert.equal(deleted?.type, "DELETED");
  assert.ok(
    Number(deleted?.object.metadata.resourceVersion) > Number(changed?.object.metadata.resourceVersion),
  );
  watch.close();
});

test("a watch with a selector: coming into it is ADDED, leaving it DELETED", async () => {
  await api.call("POST", maps, configMap("moving"));
  const watch = await api.watch(
    `${maps}?watch=true&labelSelector=in%3Dyes&resourceVersion=${version(await api.call("GET", maps))}`,
  );
  const label = (value: string | null) =>
    api.call(
      "PATCH",
      `${maps}/moving`,
      { metadata: { labels: { in: value } } },
      { "content-type": "application/merge-patch+json" },
    );
  await label("yes");
  assert.equal((await watch.next())?.type, "ADDED");
  await label(null);
  assert.equal((await watch.next())?.type, "DELETED");
  watch.close();
});

test("sendInitialEvents ends with a marked bookmark", async () => {
  const query =
    "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
  const watch = await api.watch(`/api/v1/namespaces?${query}`);
  const seen: string[] = [];
  let event = await watch.next();
  for (; event?.type === "ADDED"; event = await watch.next()) seen.push(event.object.metadata.name);
  assert.ok(seen.includes("default") && seen.includes("kube-system"));
  assert.equal(event?.type, "BOOKMARK");
  assert.equal(event?.object.metadata.annotations?.["k8s.io/initial-events-end"], "true");
  assert.equal(event?.object.kind, "Namespace");
  watch.close();
});

test("a watch ends after timeoutSeconds", async () => {
  const watch = await api.watch(
    `${maps}?watch=true&timeoutSeconds=1&resourceVersion=${version(await api.call("GET", maps))}`,
  );
  assert.equal(await watch.next(), undefined);
});

test("a version whose events are forgotten is answered by 410", async () => {
  const { store } = api.server;
  const old = store.revision;
  for (let i = 0; i < 9000; i++) {
    store.put("/configmaps", "default/busy", {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "busy", namespace: "default" },
    });
  }
  const watch = await api.watch(`${maps}?watch=true&resourceVersion=${old}`);
  const event = await watch.next();
  assert.equal(event?.type, "ERROR");
  assert.equal(event?.object["code"], 410);
  assert.equal(event?.object["reason"], "Expired");
  const exact = await api.call("GET", `${maps}?resourceVersion=${old}&resourceVersionMatch=Exact`);
  assert.equal(exact.code, 410);
  const ahead = await api.call("GET", `${maps}?resourceVersion=${store.revision + 1000}`);
  assert.equal(ahead.code, 504);
});

test("tables: rows, and only once the heads in a watch", async () => {
  const accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
  const list = await api.call("GET", "/api/v1/namespaces", undefined, { accept });
  assert.equal(list.body["kind"], "Table");
  assert.deepEqual(
    listAt(list.body, "columnDefinitions").map((column) => column["name"]),
    ["Name", "Status", "Age"],
  );
  const watch = await api.watch("/api/v1/namespaces?watch=true", accept);
  const [first, second] = [await watch.next(), await watch.next()];
  assert.ok(Array.isArray(first?.object["columnDefinitions"]));
  assert.equal(second?.object["columnDefinitions"], null);
  watch.close();
});

test("a write reaches a watcher quickly", async () => {
  const watch = await api.watch(`${maps}?watch=true&resourceVersion=${api.server.store.revision}`);
  const times: number[] = [];
  for (let i = 0; i < 50; i++) {
    const start = performance.now();
    const [, event] = await Promise.all([api.call("POST", maps, configMap(`fast-${i}`)), watch.next()]);
    times.push(performance.now() - start);
    assert.equal(event?.object.metadata.name, `fast-${i}`);
  }
  watch.close();
  const median = times.sort((a, b) => a - b)[25]!;
  // The aim is 3 ms on an idle machine; this only catches a wrong order of magnitude.
  assert.ok(median < 50, `median ${median} ms`);
});
