// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { listAt, numberAt, objectAt, stringAt } from "#lab/apiserver/object.ts";
import { type Case, configMap, deployment, message, names, pod, version } from "../case.ts";

export const writeCases: readonly Case[] = [
  {
    name: "what is created gets its uid, version, time and the fields' managers",
    run: async (api) => {
      const { code, body } = await api.call(
        "POST",
        `${api.path("configmaps")}?fieldManager=tester`,
        configMap("made", { a: "1" }),
      );
      assert.equal(code, 201);
      const metadata = objectAt(body, "metadata");
      assert.equal(metadata["namespace"], api.namespace);
      assert.match(
        String(metadata["uid"]),
        /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      );
      assert.match(String(metadata["creationTimestamp"]), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      const [managed] = listAt(metadata, "managedFields");
      assert.deepEqual(
        [managed?.["manager"], managed?.["operation"], managed?.["fieldsType"], managed?.["apiVersion"]],
        ["tester", "Update", "FieldsV1", "v1"],
      );
      assert.deepEqual(objectAt(managed, "fieldsV1"), { "f:data": { ".": {}, "f:a": {} } });
    },
    embedded: {
      differs:
        "`managedFields` of creations and updates name the fields set, not also (`.`) the maps and list elements that hold them.",
      run: async (api) => {
        const { body } = await api.call(
          "POST",
          `${api.path("configmaps")}?fieldManager=tester`,
          configMap("made", { a: "1" }),
        );
        const [managed] = listAt(body, "metadata", "managedFields");
        assert.deepEqual(objectAt(managed, "fieldsV1"), { "f:data": { "f:a": {} } });
      },
    },
  },
  {
    name: "generateName makes a name of its prefix and five characters",
    run: async (api) => {
      const make = async () => {
        const metadata = { generateName: "made-" };
        const { code, body } = await api.call("POST", api.path("configmaps"), {
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata,
        });
        assert.equal(code, 201);
        return stringAt(body, "metadata", "name");
      };
      const [one, two] = [await make(), await make()];
      for (const name of [one, two]) assert.match(name, /^made-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
      assert.notEqual(one, two);
    },
  },
  {
    name: "an update with a stale version is refused, one without a version is not",
    run: async (api) => {
      const made = await api.call("POST", api.path("configmaps"), configMap("stale", { a: "1" }));
      const at = api.path("configmaps", "stale");
      assert.equal((await api.call("PUT", at, { ...made.body, data: { a: "2" } })).code, 200);
      const second = await api.call("PUT", at, { ...made.body, data: { a: "3" } });
      assert.deepEqual([second.code, second.body["reason"]], [409, "Conflict"]);
      assert.equal(
        message(second),
        'Operation cannot be fulfilled on configmaps "stale": the object has been modified; please apply your changes to the latest version and try again',
      );
      assert.deepEqual(objectAt(second.body, "details"), { name: "stale", kind: "configmaps" });
      assert.equal((await api.call("PUT", at, configMap("stale", { a: "4" }))).code, 200);
    },
  },
  {
    name: "an update with another uid is refused",
    run: async (api) => {
      await api.call("POST", api.path("configmaps"), configMap("other"));
      const body = configMap("other", {}, { uid: "11111111-1111-4111-8111-111111111111" });
      const answer = await api.call("PUT", api.path("configmaps", "other"), body);
      assert.deepEqual([answer.code, answer.body["reason"]], [409, "Conflict"]);
      assert.match(
        message(answer),
        /Precondition failed: UID in precondition: 11111111-.*, UID in object meta: /,
      );
    },
  },
  {
    name: "a deletion holds its preconditions",
    run: async (api) => {
      const made = await api.call("POST", api.path("configmaps"), configMap("guarded"));
      const at = api.path("configmaps", "guarded");
      const options = (preconditions: Record<string, string>) => ({
        apiVersion: "v1",
        kind: "DeleteOptions",
        preconditions,
      });
      const uid = await api.call("DELETE", at, options({ uid: "11111111-1111-4111-8111-111111111111" }));
      assert.deepEqual([uid.code, uid.body["reason"]], [409, "Conflict"]);
      const stale = await api.call("DELETE", at, options({ resourceVersion: "1" }));
      assert.equal(stale.code, 409);
      assert.match(
        message(stale),
        /the ResourceVersion in the precondition \(1\) does not match the ResourceVersion in record/,
      );
      const right = await api.call(
        "DELETE",
        at,
        options({ uid: stringAt(made.body, "metadata", "uid"), resourceVersion: version(made) }),
      );
      assert.deepEqual([right.code, right.body["kind"], right.body["status"]], [200, "Status", "Success"]);
      assert.deepEqual(objectAt(right.body, "details"), {
        name: "guarded",
        kind: "configmaps",
        uid: stringAt(made.body, "metadata", "uid"),
      });
    },
  },
  {
    name: "an update of what is not there: 404 (no creation by PUT)",
    run: async (api) => {
      const answer = await api.call("PUT", api.path("configmaps", "absent"), configMap("absent"));
      assert.deepEqual([answer.code, answer.body["reason"]], [404, "NotFound"]);
    },
  },
  {
    name: "dryRun answers as if, and stores nothing",
    run: async (api) => {
      const dry = await api.call("POST", `${api.path("configmaps")}?dryRun=All`, configMap("dry"));
      assert.equal(dry.code, 201);
      assert.ok(stringAt(dry.body, "metadata", "uid"));
      assert.equal((await api.call("GET", api.path("configmaps", "dry"))).code, 404);
      const bad = await api.call("POST", `${api.path("configmaps")}?dryRun=Some`, configMap("dry"));
      assert.deepEqual([bad.code, bad.body["reason"]], [422, "Invalid"]);
      assert.match(message(bad), /^CreateOptions\.meta\.k8s\.io "" is invalid: dryRun: Unsupported value/);
    },
  },
  {
    name: "status and spec are written apart; generation counts the spec",
    run: async (api) => {
      const deployments = api.path("apps/v1/deployments");
      const made = await api.call("POST", deployments, { ...deployment("apart"), status: { replicas: 7 } });
      assert.deepEqual(
        [numberAt(made.body, "metadata", "generation"), objectAt(made.body, "status")],
        [1, {}],
      );
      const status = { ...deployment("apart", { replicas: 9 }), status: { replicas: 3, readyReplicas: 3 } };
      const written = await api.call("PUT", `${deployments}/apart/status`, status);
      assert.equal(written.code, 200);
      assert.equal(objectAt(written.body, "status")["readyReplicas"], 3);
      assert.equal(objectAt(written.body, "spec")["replicas"], 1);
      assert.equal(numberAt(written.body, "metadata", "generation"), 1);
      const spec = await api.call("PUT", `${deployments}/apart`, {
        ...deployment("apart", { replicas: 2 }),
        status: {},
      });
      assert.equal(objectAt(spec.body, "status")["readyReplicas"], 3);
      assert.equal(numberAt(spec.body, "metadata", "generation"), 2);
    },
  },
  {
    name: "defaults are filled in: of a deployment, a service, a pod",
    run: async (api) => {
      const made = await api.call("POST", api.path("apps/v1/deployments"), deployment("defaults"));
      const spec = objectAt(made.body, "spec");
      assert.deepEqual(
        [spec["replicas"], spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]],
        [1, 10, 600],
      );
      assert.deepEqual(objectAt(spec, "strategy"), {
        type: "RollingUpdate",
        rollingUpdate: { maxUnavailable: "25%", maxSurge: "25%" },
      });
      const service = await api.call("POST", api.path("services"), {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "defaults" },
        spec: { selector: { app: "web" }, ports: [{ port: 80 }] },
      });
      const { clusterIP, clusterIPs, ...rest } = objectAt(service.body, "spec");
      assert.match(String(clusterIP), /^10\.96\./);
      assert.deepEqual(clusterIPs, [clusterIP]);
      assert.deepEqual(rest, {
        ports: [{ protocol: "TCP", port: 80, targetPort: 80 }],
        selector: { app: "web" },
        type: "ClusterIP",
        sessionAffinity: "None",
        ipFamilies: ["IPv4"],
        ipFamilyPolicy: "SingleStack",
        internalTrafficPolicy: "Cluster",
      });
      const { body } = await api.call("POST", api.path("pods"), pod("defaults"));
      const [container] = listAt(body, "spec", "containers");
      assert.deepEqual(container, {
        name: "c",
        image: "shop/web:1",
        resources: {},
        terminationMessagePath: "/dev/termination-log",
        terminationMessagePolicy: "File",
        imagePullPolicy: "IfNotPresent",
      });
      assert.deepEqual(
        [
          stringAt(body, "spec", "restartPolicy"),
          stringAt(body, "spec", "dnsPolicy"),
          stringAt(body, "status", "phase"),
        ],
        ["Always", "ClusterFirst", "Pending"],
      );
    },
  },
  {
    name: "the scale subresource reads and writes the replicas",
    run: async (api) => {
      const deployments = api.path("apps/v1/deployments");
      await api.call("POST", deployments, deployment("scaled", { replicas: 2 }));
      const scale = await api.call("GET", `${deployments}/scaled/scale`);
      assert.deepEqual([scale.body["kind"], scale.body["apiVersion"]], ["Scale", "autoscaling/v1"]);
      assert.deepEqual(objectAt(scale.body, "spec"), { replicas: 2 });
      assert.equal(objectAt(scale.body, "status")["selector"], "app=scaled");
      const set = await api.call("PUT", `${deployments}/scaled/scale`, {
        ...scale.body,
        spec: { replicas: 5 },
      });
      assert.equal(set.code, 200);
      const { body } = await api.call("GET", `${deployments}/scaled`);
      assert.equal(objectAt(body, "spec")["replicas"], 5);
    },
  },
  {
    name: "deletecollection takes what is selected",
    run: async (api) => {
      for (const name of ["a", "b"]) {
        await api.call("POST", api.path("configmaps"), configMap(name, {}, { labels: { name } }));
      }
      const answer = await api.call("DELETE", `${api.path("configmaps")}?labelSelector=name%3Da`);
      assert.equal(answer.code, 200);
      const left = names(await api.call("GET", `${api.path("configmaps")}?labelSelector=name`));
      assert.deepEqual(left, ["b"]);
    },
  },
  {
    name: "a binding gives a pod its node",
    run: async (api) => {
      const unbound = pod("bound");
      delete (unbound["spec"] as Record<string, unknown>)["nodeName"];
      await api.call("POST", api.path("pods"), unbound);
      const binding = {
        apiVersion: "v1",
        kind: "Binding",
        metadata: { name: "bound" },
        target: { kind: "Node", name: "n1" },
      };
      const answer = await api.call("POST", `${api.path("pods", "bound")}/binding`, binding);
      assert.deepEqual([answer.code, answer.body["kind"], answer.body["status"]], [201, "Status", "Success"]);
      const { body } = await api.call("GET", api.path("pods", "bound"));
      assert.equal(stringAt(body, "spec", "nodeName"), "n1");
      const again = await api.call("POST", `${api.path("pods", "bound")}/binding`, binding);
      assert.equal(again.code, 409);
    },
  },
];
