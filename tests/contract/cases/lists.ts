// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { type Json, listAt, objectAt, stringAt, valueAt } from "#lab/apiserver/object.ts";
import { type Api, type Case, configMap, message, names, pod, version } from "../case.ts";

const listOf = (value: Json): Json[] => (Array.isArray(value) ? value : []);

/** ConfigMaps `NAME` with labels. */
async function labelled(
  api: Api,
  objects: Readonly<Record<string, { [key: string]: string }>>,
): Promise<void> {
  for (const [name, labels] of Object.entries(objects)) {
    const made = await api.call("POST", api.path("configmaps"), configMap(name, {}, { labels }));
    assert.equal(made.code, 201);
  }
}

const pages = async (api: Api) =>
  labelled(api, { a: { of: "5" }, b: { of: "5" }, c: { of: "5" }, d: { of: "5" }, e: { of: "5" } });
const ours = "labelSelector=of%3D5";

export const listCases: readonly Case[] = [
  {
    name: "a list says its kind and version; its items leave them out; an empty one has items",
    run: async (api) => {
      await labelled(api, { one: {} });
      const { code, body } = await api.call("GET", api.path("configmaps"));
      assert.deepEqual([code, body["kind"], body["apiVersion"]], [200, "ConfigMapList", "v1"]);
      assert.match(stringAt(body, "metadata", "resourceVersion"), /^[0-9]+$/);
      const item = listAt(body, "items").find((one) => stringAt(one, "metadata", "name") === "one");
      assert.deepEqual([item?.["kind"], item?.["apiVersion"]], [undefined, undefined]);
      const none = await api.call("GET", api.path("secrets"));
      assert.deepEqual(none.body["items"], []);
    },
  },
  {
    name: "pages show one state, in order, and say how much is left",
    run: async (api) => {
      await pages(api);
      const at = `${api.path("configmaps")}?limit=2&${ours}`;
      const first = await api.call("GET", at);
      assert.deepEqual(names(first), ["a", "b"]);
      await api.call("DELETE", api.path("configmaps", "d"));
      await api.call("POST", api.path("configmaps"), configMap("c2", {}, { labels: { of: "5" } }));
      const token = encodeURIComponent(stringAt(first.body, "metadata", "continue"));
      const second = await api.call("GET", `${at}&continue=${token}`);
      assert.deepEqual(names(second), ["c", "d"]);
      assert.equal(version(second), version(first));
      const last = encodeURIComponent(stringAt(second.body, "metadata", "continue"));
      const third = await api.call("GET", `${at}&continue=${last}`);
      assert.deepEqual(names(third), ["e"]);
      assert.equal(valueAt(third.body, "metadata", "continue"), undefined);
    },
  },
  {
    name: "a page without selectors counts what remains",
    run: async (api) => {
      await pages(api);
      const all = names(await api.call("GET", api.path("configmaps"))).length;
      const { body } = await api.call("GET", `${api.path("configmaps")}?limit=2`);
      assert.equal(valueAt(body, "metadata", "remainingItemCount"), all - 2);
    },
  },
  {
    name: "a continue token that says nothing is refused",
    run: async (api) => {
      const answer = await api.call("GET", `${api.path("configmaps")}?limit=2&continue=abc`);
      assert.deepEqual([answer.code, answer.body["reason"]], [400, "BadRequest"]);
      assert.match(message(answer), /continue key is not valid/);
    },
  },
  {
    name: "a token whose version is forgotten is answered by 410 Expired",
    run: async (api) => {
      await pages(api);
      const first = await api.call("GET", `${api.path("configmaps")}?limit=2`);
      const old = await api.forgottenToken(stringAt(first.body, "metadata", "continue"));
      const answer = await api.call(
        "GET",
        `${api.path("configmaps")}?limit=2&continue=${encodeURIComponent(old)}`,
      );
      assert.deepEqual([answer.code, answer.body["reason"]], [410, "Expired"]);
      assert.match(message(answer), /^The provided continue parameter is too old/);
    },
  },
  {
    name: "an exact old version is listed while it is known, and 410 when it is forgotten",
    run: async (api) => {
      await labelled(api, { first: { exact: "yes" }, gone: { exact: "yes" } });
      const at = `${api.path("configmaps")}?labelSelector=exact%3Dyes`;
      const then = version(await api.call("GET", at));
      await labelled(api, { second: { exact: "yes" } });
      await api.call("DELETE", api.path("configmaps", "gone"));
      const exact = (from: string) =>
        api.call("GET", `${at}&resourceVersion=${from}&resourceVersionMatch=Exact`);
      const list = await exact(then);
      assert.deepEqual([names(list), version(list)], [["first", "gone"], then]);
      const old = await exact(await api.forgottenVersion());
      assert.deepEqual([old.code, old.body["reason"]], [410, "Expired"]);
    },
  },
  {
    name: "a list not older than what was just written shows it; version 0 takes any state",
    run: async (api) => {
      await labelled(api, { fresh: {} });
      const { body } = await api.call("GET", api.path("configmaps", "fresh"));
      const at = stringAt(body, "metadata", "resourceVersion");
      const list = await api.call(
        "GET",
        `${api.path("configmaps")}?resourceVersion=${at}&resourceVersionMatch=NotOlderThan`,
      );
      assert.ok(names(list).includes("fresh"));
      assert.equal((await api.call("GET", `${api.path("configmaps")}?resourceVersion=0`)).code, 200);
    },
  },
  {
    name: "label selectors: equality, sets, presence, and what cannot be read",
    run: async (api) => {
      await labelled(api, {
        w: { tier: "web", env: "dev" },
        d: { tier: "db", env: "dev" },
        p: { tier: "web", env: "prod" },
      });
      const select = async (text: string) =>
        names(await api.call("GET", `${api.path("configmaps")}?labelSelector=${encodeURIComponent(text)}`));
      assert.deepEqual(await select("env=dev,tier!=web"), ["d"]);
      assert.deepEqual(await select("tier in (web, db),env==dev"), ["d", "w"]);
      assert.deepEqual(await select("env,tier notin (web)"), ["d"]);
      assert.deepEqual(await select("env,!tier"), []);
      const bad = await api.call(
        "GET",
        `${api.path("configmaps")}?labelSelector=${encodeURIComponent("a in (")}`,
      );
      assert.deepEqual([bad.code, bad.body["reason"]], [400, "BadRequest"]);
      assert.match(message(bad), /unable to parse requirement/);
    },
  },
  {
    name: "field selectors: of every kind its name, of a pod its node and phase, nothing else",
    run: async (api) => {
      await labelled(api, { x: {}, y: {} });
      const select = (resource: string, text: string) =>
        api.call("GET", `${api.path(resource)}?fieldSelector=${encodeURIComponent(text)}`);
      assert.deepEqual(names(await select("configmaps", "metadata.name=x")), ["x"]);
      await api.call("POST", api.path("pods"), pod("placed"));
      assert.deepEqual(names(await select("pods", "spec.nodeName=nowhere,status.phase!=Running")), [
        "placed",
      ]);
      assert.deepEqual(names(await select("pods", "spec.nodeName=elsewhere")), []);
      const refusal = async (resource: string) => {
        const bad = await select(resource, "spec.foo=a");
        assert.deepEqual([bad.code, bad.body["reason"]], [400, "BadRequest"]);
        return message(bad);
      };
      const known = 'only "metadata.name", "metadata.namespace"';
      assert.equal(await refusal("configmaps"), `"spec.foo" is not a known field selector: ${known}`);
      assert.equal(await refusal("pods"), "field label not supported: spec.foo");
      assert.equal(await refusal("services"), "field label not supported: spec.foo");
    },
  },
  {
    name: "one list over all namespaces",
    run: async (api) => {
      await labelled(api, { [`everywhere-${api.namespace}`]: {} });
      const selector = `fieldSelector=metadata.name%3Deverywhere-${api.namespace}`;
      const { body } = await api.call("GET", `/api/v1/configmaps?${selector}`);
      assert.deepEqual(
        listAt(body, "items").map((item) => stringAt(item, "metadata", "namespace")),
        [api.namespace],
      );
    },
  },
  {
    name: "a table has the columns kubectl prints, with metadata of each object",
    run: async (api) => {
      await api.call("POST", api.path("configmaps"), configMap("shown", { a: "1", b: "2" }));
      const accept = { accept: "application/json;as=Table;v=v1;g=meta.k8s.io,application/json" };
      const { body } = await api.call(
        "GET",
        `${api.path("configmaps")}?fieldSelector=metadata.name%3Dshown`,
        undefined,
        accept,
      );
      assert.deepEqual([body["kind"], body["apiVersion"]], ["Table", "meta.k8s.io/v1"]);
      const columns = listAt(body, "columnDefinitions").map((column) => column["name"]);
      assert.deepEqual(columns, ["Name", "Data", "Age"]);
      const [row] = listAt(body, "rows");
      assert.deepEqual(listOf(row?.["cells"]).slice(0, 2), ["shown", 2]);
      assert.deepEqual(objectAt(row, "object")["kind"], "PartialObjectMetadata");
      assert.equal(stringAt(row, "object", "metadata", "name"), "shown");
    },
  },
  {
    name: "a table of services and pods",
    run: async (api) => {
      const accept = { accept: "application/json;as=Table;v=v1;g=meta.k8s.io,application/json" };
      const columns = async (resource: string) => {
        const { body } = await api.call("GET", api.path(resource), undefined, accept);
        return listAt(body, "columnDefinitions")
          .filter((column) => column["priority"] === 0)
          .map((column) => column["name"]);
      };
      assert.deepEqual(await columns("pods"), ["Name", "Ready", "Status", "Restarts", "Age"]);
      assert.deepEqual(await columns("services"), [
        "Name",
        "Type",
        "Cluster-IP",
        "External-IP",
        "Port(s)",
        "Age",
      ]);
      assert.deepEqual(await columns("apps/v1/deployments"), [
        "Name",
        "Ready",
        "Up-to-date",
        "Available",
        "Age",
      ]);
      assert.deepEqual(await columns("networking.k8s.io/v1/networkpolicies"), [
        "Name",
        "Pod-Selector",
        "Age",
      ]);
    },
  },
  {
    name: "a list of metadata only",
    run: async (api) => {
      await labelled(api, { meta: {} });
      const accept = { accept: "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io" };
      const { body } = await api.call(
        "GET",
        `${api.path("configmaps")}?fieldSelector=metadata.name%3Dmeta`,
        undefined,
        accept,
      );
      assert.equal(body["kind"], "PartialObjectMetadataList");
      assert.deepEqual(
        Object.keys(listAt(body, "items")[0] ?? {}).filter((key) => !/^(kind|apiVersion)$/.test(key)),
        ["metadata"],
      );
    },
  },
];
