// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { objectAt, stringAt } from "#lab/apiserver/object.ts";
import { type Api, type Case, configMap, mergePatch, version } from "../case.ts";
import type { Watch } from "../target.ts";

const watchFrom = async (api: Api, query = ""): Promise<Watch> => {
  const from = version(await api.call("GET", api.path("configmaps")));
  return api.watch(`${api.path("configmaps")}?watch=true&resourceVersion=${from}${query}`);
};
const create = (api: Api, name: string, labels: { [key: string]: string } = {}) =>
  api.call("POST", api.path("configmaps"), configMap(name, {}, { labels }));
const told = async (watch: Watch) => {
  const event = await watch.next();
  return `${event?.type} ${event?.object.metadata?.name}`;
};

export const watchCases: readonly Case[] = [
  {
    name: "a watch from a version hears everything after it, once, in order",
    run: async (api) => {
      await create(api, "before");
      const watch = await watchFrom(api);
      const made = await create(api, "w1");
      await api.call("PATCH", api.path("configmaps", "w1"), { data: { a: "1" } }, mergePatch);
      await api.call("DELETE", api.path("configmaps", "w1"));
      const added = await watch.next();
      assert.equal(added?.type, "ADDED");
      assert.deepEqual([added.object.kind, added.object.apiVersion], ["ConfigMap", "v1"]);
      assert.equal(added.object.metadata.resourceVersion, version(made));
      const changed = await watch.next();
      assert.deepEqual([changed?.type, objectAt(changed?.object, "data")], ["MODIFIED", { a: "1" }]);
      const deleted = await watch.next();
      assert.equal(deleted?.type, "DELETED");
      // What was deleted last is shown, at the version of the deletion.
      assert.deepEqual(objectAt(deleted.object, "data"), { a: "1" });
      assert.ok(
        Number(deleted.object.metadata.resourceVersion) > Number(changed?.object.metadata.resourceVersion),
      );
      watch.close();
    },
  },
  {
    name: "a watch without a version begins with what is there",
    run: async (api) => {
      await create(api, "there", { first: "yes" });
      const watch = await api.watch(`${api.path("configmaps")}?watch=true&labelSelector=first`);
      assert.equal(await told(watch), "ADDED there");
      await create(api, "then", { first: "yes" });
      assert.equal(await told(watch), "ADDED then");
      watch.close();
    },
  },
  {
    name: "a watch with a label selector: coming into it is ADDED, leaving it DELETED",
    run: async (api) => {
      await create(api, "moving");
      const watch = await watchFrom(api, "&labelSelector=in%3Dyes");
      const label = (value: string | null) =>
        api.call(
          "PATCH",
          api.path("configmaps", "moving"),
          { metadata: { labels: { in: value } } },
          mergePatch,
        );
      await label("yes");
      assert.equal(await told(watch), "ADDED moving");
      await label(null);
      assert.equal(await told(watch), "DELETED moving");
      watch.close();
    },
  },
  {
    name: "a watch of one object by its name",
    run: async (api) => {
      const watch = await watchFrom(api, "&fieldSelector=metadata.name%3Dwanted");
      await create(api, "unwanted");
      await create(api, "wanted");
      assert.equal(await told(watch), "ADDED wanted");
      watch.close();
    },
  },
  {
    name: "initial events end with a bookmark that says so",
    run: async (api) => {
      await create(api, "initial", { initial: "yes" });
      const query =
        "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
      const watch = await api.watch(`${api.path("configmaps")}?${query}&labelSelector=initial`);
      const first = await watch.next();
      // An etcd before 3.4.25 cannot say how far a watch is: clients then list.
      if (
        first?.type === "ERROR" &&
        /RequestWatchProgress is disabled/.test(stringAt(first.object, "message"))
      ) {
        assert.equal(api.name, "kubernetes");
        return;
      }
      assert.equal(`${first?.type} ${first?.object.metadata.name}`, "ADDED initial");
      const bookmark = await watch.next();
      assert.equal(bookmark?.type, "BOOKMARK");
      assert.equal(bookmark.object.kind, "ConfigMap");
      assert.equal(bookmark.object.metadata.annotations?.["k8s.io/initial-events-end"], "true");
      assert.match(bookmark.object.metadata.resourceVersion ?? "", /^[0-9]+$/);
      watch.close();
    },
  },
  {
    name: "initial events need the match they are asked with",
    run: async (api) => {
      const { code, body } = await api.call(
        "GET",
        `${api.path("configmaps")}?watch=true&sendInitialEvents=true`,
      );
      assert.deepEqual([code, body["reason"]], [422, "Invalid"]);
    },
  },
  {
    name: "a watch ends after its timeoutSeconds",
    run: async (api) => {
      const watch = await watchFrom(api, "&timeoutSeconds=1");
      assert.equal(await watch.next(), undefined);
    },
  },
  {
    name: "a watch from a forgotten version is told 410 Expired",
    run: async (api) => {
      const old = await api.forgottenVersion();
      const watch = await api.watch(`${api.path("configmaps")}?watch=true&resourceVersion=${old}`);
      const event = await watch.next();
      assert.equal(event?.type, "ERROR");
      const { kind, code, reason } = event.object;
      assert.deepEqual([kind, code, reason], ["Status", 410, "Expired"]);
      assert.match(stringAt(event.object, "message"), /^too old resource version: /);
      watch.close();
    },
  },
  {
    name: "a watch over all namespaces hears each",
    run: async (api) => {
      const from = version(await api.call("GET", "/api/v1/configmaps?limit=1"));
      const watch = await api.watch(
        `/api/v1/configmaps?watch=true&resourceVersion=${from}&labelSelector=everywhere%3D${api.namespace}`,
      );
      await create(api, "heard", { everywhere: api.namespace });
      const event = await watch.next();
      assert.equal(event?.object.metadata.namespace, api.namespace);
      watch.close();
    },
  },
  {
    name: "an update that changes nothing tells nobody",
    run: async (api) => {
      const made = await create(api, "same");
      const watch = await watchFrom(api);
      const again = await api.call("PUT", api.path("configmaps", "same"), made.body);
      assert.equal(version(again), version(made));
      await create(api, "next");
      assert.equal(await told(watch), "ADDED next");
      watch.close();
    },
  },
  {
    name: "a watched table: rows, with the heads in the first event only",
    run: async (api) => {
      const from = version(await api.call("GET", api.path("configmaps")));
      const accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
      const watch = await api.watch(`${api.path("configmaps")}?watch=true&resourceVersion=${from}`, accept);
      await create(api, "row1");
      await create(api, "row2");
      const events = [await watch.next(), await watch.next()];
      assert.deepEqual(
        events.map((event) => event?.object.kind),
        ["Table", "Table"],
      );
      assert.ok(Array.isArray(events[0]?.object["columnDefinitions"]));
      assert.equal(events[1]?.object["columnDefinitions"], null);
      watch.close();
    },
  },
];
