// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { type JsonObject, listAt, stringAt, valueAt } from "#lab/apiserver/object.ts";
import { type Api, type Case, configMap, mergePatch, message, pod, until } from "../case.ts";

const gone = (api: Api, name: string) =>
  until(
    () => api.call("GET", api.path("configmaps", name)),
    ({ code }) => code === 404,
  );

async function family(api: Api, more: JsonObject = {}): Promise<void> {
  const owner = await api.call("POST", api.path("configmaps"), configMap("owner"));
  const reference = {
    apiVersion: "v1",
    kind: "ConfigMap",
    name: "owner",
    uid: stringAt(owner.body, "metadata", "uid"),
    ...more,
  };
  const made = await api.call(
    "POST",
    api.path("configmaps"),
    configMap("owned", {}, { ownerReferences: [reference] }),
  );
  assert.equal(made.code, 201);
}

const deletion = (propagationPolicy: string) => ({
  apiVersion: "v1",
  kind: "DeleteOptions",
  propagationPolicy,
});

export const lifecycleCases: readonly Case[] = [
  {
    name: "finalizers hold an object; it goes with the last",
    run: async (api) => {
      await api.call(
        "POST",
        api.path("configmaps"),
        configMap("held", {}, { finalizers: ["weft.test/a", "weft.test/b"] }),
      );
      const at = api.path("configmaps", "held");
      const deleted = await api.call("DELETE", at);
      assert.deepEqual([deleted.code, deleted.body["kind"]], [200, "ConfigMap"]);
      assert.match(stringAt(deleted.body, "metadata", "deletionTimestamp"), /^\d{4}-.*Z$/);
      assert.equal(valueAt(deleted.body, "metadata", "deletionGracePeriodSeconds"), 0);
      const stamp = stringAt(deleted.body, "metadata", "deletionTimestamp");
      const again = await api.call("DELETE", at);
      assert.equal(stringAt(again.body, "metadata", "deletionTimestamp"), stamp);
      await api.call("PATCH", at, { metadata: { finalizers: ["weft.test/b"] } }, mergePatch);
      assert.equal((await api.call("GET", at)).code, 200);
      const last = await api.call("PATCH", at, { metadata: { finalizers: null } }, mergePatch);
      assert.equal(last.code, 200);
      assert.equal((await api.call("GET", at)).code, 404);
    },
  },
  {
    name: "no finalizer is added to what is being deleted",
    run: async (api) => {
      await api.call("POST", api.path("configmaps"), configMap("late", {}, { finalizers: ["weft.test/a"] }));
      const at = api.path("configmaps", "late");
      await api.call("DELETE", at);
      const patch = { metadata: { finalizers: ["weft.test/a", "weft.test/more"] } };
      const answer = await api.call("PATCH", at, patch, mergePatch);
      assert.deepEqual([answer.code, answer.body["reason"]], [422, "Invalid"]);
      assert.match(
        message(answer),
        /metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted/,
      );
      await api.call("PATCH", at, { metadata: { finalizers: null } }, mergePatch);
    },
  },
  {
    name: "what is owned goes after its owner",
    run: async (api) => {
      await family(api);
      await api.call("DELETE", api.path("configmaps", "owner"), deletion("Background"));
      await gone(api, "owned");
    },
  },
  {
    name: "what is owned is left when its owner is deleted with Orphan",
    run: async (api) => {
      await family(api);
      await api.call("DELETE", api.path("configmaps", "owner"), deletion("Orphan"));
      await gone(api, "owner");
      const { code, body } = await api.call("GET", api.path("configmaps", "owned"));
      assert.deepEqual([code, listAt(body, "metadata", "ownerReferences")], [200, []]);
    },
  },
  {
    name: "with Foreground the owner waits for what blocks it",
    run: async (api) => {
      await family(api, { blockOwnerDeletion: true });
      await api.call(
        "PATCH",
        api.path("configmaps", "owned"),
        { metadata: { finalizers: ["weft.test/slow"] } },
        mergePatch,
      );
      const deleted = await api.call("DELETE", api.path("configmaps", "owner"), deletion("Foreground"));
      assert.deepEqual(valueAt(deleted.body, "metadata", "finalizers"), ["foregroundDeletion"]);
      const owned = () => api.call("GET", api.path("configmaps", "owned"));
      await until(owned, ({ body }) => stringAt(body, "metadata", "deletionTimestamp") !== "");
      assert.equal((await api.call("GET", api.path("configmaps", "owner"))).code, 200);
      await api.call(
        "PATCH",
        api.path("configmaps", "owned"),
        { metadata: { finalizers: null } },
        mergePatch,
      );
      await gone(api, "owner");
    },
  },
  {
    name: "a pod on a node is marked first and goes with grace period 0",
    run: async (api) => {
      await api.call("POST", api.path("pods"), pod("graceful"));
      const marked = await api.call("DELETE", api.path("pods", "graceful"));
      assert.equal(marked.code, 200);
      assert.equal(valueAt(marked.body, "metadata", "deletionGracePeriodSeconds"), 30);
      assert.equal((await api.call("GET", api.path("pods", "graceful"))).code, 200);
      const now = await api.call("DELETE", `${api.path("pods", "graceful")}?gracePeriodSeconds=0`);
      assert.equal(now.code, 200);
      assert.equal((await api.call("GET", api.path("pods", "graceful"))).code, 404);
    },
  },
  {
    name: "a namespace goes when its content is gone, and takes nothing new meanwhile",
    run: async (api) => {
      const name = `${api.namespace}-going`;
      await api.call("POST", "/api/v1/namespaces", {
        apiVersion: "v1",
        kind: "Namespace",
        metadata: { name },
      });
      const maps = `/api/v1/namespaces/${name}/configmaps`;
      await api.call("POST", maps, configMap("held", {}, { finalizers: ["weft.test/a"] }));
      const deleted = await api.call("DELETE", `/api/v1/namespaces/${name}`);
      assert.deepEqual([deleted.code, stringAt(deleted.body, "status", "phase")], [200, "Terminating"]);
      const refused = await api.call("POST", maps, configMap("late"));
      assert.deepEqual([refused.code, refused.body["reason"]], [403, "Forbidden"]);
      assert.match(message(refused), /because it is being terminated/);
      await until(
        () => api.call("GET", `${maps}/held`),
        ({ body }) => stringAt(body, "metadata", "deletionTimestamp") !== "",
      );
      await api.call("PATCH", `${maps}/held`, { metadata: { finalizers: null } }, mergePatch);
      await until(
        () => api.call("GET", `/api/v1/namespaces/${name}`),
        ({ code }) => code === 404,
      );
    },
  },
];
