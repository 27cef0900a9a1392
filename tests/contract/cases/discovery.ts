// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { type JsonObject, listAt, objectAt, stringAt, stringsAt, valueAt } from "#lab/apiserver/object.ts";
import type { Case } from "../case.ts";

export const discoveryCases: readonly Case[] = [
  {
    name: "the core and the groups, one by one",
    run: async (api) => {
      const core = await api.call("GET", "/api");
      assert.deepEqual([core.body["kind"], core.body["versions"]], ["APIVersions", ["v1"]]);
      const groups = await api.call("GET", "/apis");
      assert.equal(groups.body["kind"], "APIGroupList");
      const apps = listAt(groups.body, "groups").find((group) => group["name"] === "apps");
      assert.deepEqual(objectAt(apps, "preferredVersion"), { groupVersion: "apps/v1", version: "v1" });
      const one = await api.call("GET", "/apis/apps");
      assert.deepEqual([one.body["kind"], one.body["name"]], ["APIGroup", "apps"]);
    },
  },
  {
    name: "the resources of a group: names, kinds, verbs, short names, subresources",
    run: async (api) => {
      const { body } = await api.call("GET", "/api/v1");
      assert.deepEqual([body["kind"], body["groupVersion"]], ["APIResourceList", "v1"]);
      const resource = (name: string) => listAt(body, "resources").find((one) => one["name"] === name);
      const pods = resource("pods");
      assert.deepEqual(
        [
          pods?.["kind"],
          pods?.["namespaced"],
          pods?.["singularName"],
          pods?.["shortNames"],
          pods?.["categories"],
        ],
        ["Pod", true, "pod", ["po"], ["all"]],
      );
      assert.deepEqual(stringsAt(pods, "verbs").sort(), [
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch",
      ]);
      for (const name of [
        "pods/status",
        "pods/log",
        "pods/exec",
        "pods/binding",
        "services/status",
        "nodes/status",
        "namespaces/finalize",
      ]) {
        assert.ok(resource(name), name);
      }
      const kinds = {
        endpointslices: "discovery.k8s.io/v1",
        networkpolicies: "networking.k8s.io/v1",
        leases: "coordination.k8s.io/v1",
      };
      for (const [name, groupVersion] of Object.entries(kinds)) {
        const group = await api.call("GET", `/apis/${groupVersion}`);
        assert.ok(
          listAt(group.body, "resources").some((one) => one["name"] === name),
          name,
        );
      }
    },
  },
  {
    name: "aggregated discovery, as kubectl asks for it",
    run: async (api) => {
      const accept = {
        accept: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
      };
      const { body, headers } = await api.call("GET", "/apis", undefined, accept);
      assert.equal(body["kind"], "APIGroupDiscoveryList");
      assert.match(String(headers["content-type"]), /g=apidiscovery\.k8s\.io;v=v2;as=APIGroupDiscoveryList/);
      const apps = listAt(body, "items").find((one) => stringAt(one, "metadata", "name") === "apps");
      const [v1] = listAt(apps, "versions");
      const found = listAt(v1, "resources").find((one) => one["resource"] === "deployments");
      assert.equal(stringAt(found, "responseKind", "kind"), "Deployment");
      assert.deepEqual(
        listAt(found, "subresources")
          .map((one) => one["subresource"])
          .sort(),
        ["scale", "status"],
      );
    },
  },
  {
    name: "the schemas kubectl explain and validation read",
    run: async (api) => {
      const index = await api.call("GET", "/openapi/v3");
      // It calls this text.
      const paths = index.body["text"]
        ? (JSON.parse(stringAt(index.body, "text")) as JsonObject)
        : index.body;
      const url = stringAt(paths, "paths", "apis/apps/v1", "serverRelativeURL");
      assert.match(url, /^\/openapi\/v3\/apis\/apps\/v1\?hash=/);
      const { body } = await api.call("GET", url);
      const schemas = objectAt(body, "components", "schemas");
      const kind = Object.values(schemas).find((schema) =>
        listAt(schema, "x-kubernetes-group-version-kind").some((one) => one["kind"] === "Deployment"),
      );
      assert.ok(valueAt(kind, "properties", "spec"));
    },
  },
  {
    name: "the version, and how the server is",
    run: async (api) => {
      const { body } = await api.call("GET", "/version");
      assert.match(String(body["gitVersion"]), /^v1\.\d+\.\d+/);
      assert.equal(body["major"], "1");
      for (const path of ["/readyz", "/livez", "/healthz"]) {
        const answer = await api.call("GET", path);
        assert.deepEqual([answer.code, answer.body["text"]], [200, "ok"], path);
      }
    },
  },
  {
    name: "who may do what can be asked",
    run: async (api) => {
      const review = (spec: Record<string, unknown>) => ({
        apiVersion: "authorization.k8s.io/v1",
        kind: "SelfSubjectAccessReview",
        spec,
      });
      const attributes = { namespace: api.namespace, verb: "get", resource: "pods" };
      const path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
      const { code, body } = await api.call(
        "POST",
        path,
        review({ resourceAttributes: attributes }) as never,
      );
      assert.deepEqual([code, valueAt(body, "status", "allowed")], [201, true]);
      const self = { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" };
      const who = await api.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", self);
      assert.equal(valueAt(who.body, "status", "userInfo", "username"), "admin");
    },
  },
];
