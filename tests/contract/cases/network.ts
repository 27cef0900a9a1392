// SPDX-License-Identifier: Apache-2.0
// The kinds our datapath is made of: services, slices, policies, nodes, leases, pods.
import assert from "node:assert/strict";
import {
  type JsonObject,
  listAt,
  numberAt,
  objectAt,
  stringAt,
  stringsAt,
  valueAt,
} from "#lab/apiserver/object.ts";
import { type Api, type Case, mergePatch, message, pod, strategicPatch } from "../case.ts";

const create = (api: Api, resource: string, body: JsonObject) => api.call("POST", api.path(resource), body);
const service = (name: string, spec: JsonObject): JsonObject => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name },
  spec,
});
const policy = (name: string, spec: JsonObject): JsonObject => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name },
  spec,
});
const policies = "networking.k8s.io/v1/networkpolicies";

async function fields(api: Api, resource: string, body: JsonObject): Promise<string[]> {
  const answer = await create(api, resource, body);
  assert.deepEqual([answer.code, answer.body["reason"]], [422, "Invalid"], JSON.stringify(body));
  return listAt(answer.body, "details", "causes").map((cause) => `${cause["reason"]} ${cause["field"]}`);
}

/** What is wrong with each rule, as `REASON FIELD`. */
const wrongRules: readonly [JsonObject, string][] = [
  [{ ports: [{ port: 80, protocol: "ICMP" }] }, "FieldValueNotSupported spec.ingress[0].ports[0].protocol"],
  [{ ports: [{ port: 80, endPort: 70 }] }, "FieldValueInvalid spec.ingress[0].ports[0].endPort"],
  [
    { from: [{ ipBlock: { cidr: "10.0.0.0/33" } }] },
    "FieldValueInvalid spec.ingress[0].from[0].ipBlock.cidr",
  ],
  [
    { from: [{ ipBlock: { cidr: "10.0.0.0/24", except: ["10.1.0.0/25"] } }] },
    "FieldValueInvalid spec.ingress[0].from[0].ipBlock.except[0]",
  ],
  [{ from: [{}] }, "FieldValueRequired spec.ingress[0].from[0]"],
];

export const networkCases: readonly Case[] = [
  {
    name: "services: node ports, headless, external, both families",
    run: async (api) => {
      const spec = async (name: string, wanted: JsonObject) => {
        const answer = await create(api, "services", service(name, wanted));
        assert.equal(answer.code, 201, message(answer));
        return objectAt(answer.body, "spec");
      };
      const node = await spec("node", { type: "NodePort", ports: [{ port: 80 }] });
      const [port] = listAt(node, "ports");
      assert.ok(numberAt(port, "nodePort") >= 30_000 && numberAt(port, "nodePort") < 32_768);
      assert.equal(node["externalTrafficPolicy"], "Cluster");
      const headless = await spec("headless", { clusterIP: "None", selector: { a: "b" } });
      assert.deepEqual([headless["clusterIPs"], headless["ipFamilies"]], [["None"], ["IPv4"]]);
      const external = await spec("external", { type: "ExternalName", externalName: "a.example" });
      assert.deepEqual(external, {
        type: "ExternalName",
        externalName: "a.example",
        sessionAffinity: "None",
      });
      const both = await spec("both", { ipFamilyPolicy: "PreferDualStack", ports: [{ port: 80 }] });
      assert.deepEqual(both["ipFamilies"], ["IPv4", "IPv6"]);
      assert.match(stringsAt(both, "clusterIPs")[1] ?? "", /^fd00:96::/);
      const balancer = await spec("balancer", { type: "LoadBalancer", ports: [{ port: 80 }] });
      assert.equal(balancer["allocateLoadBalancerNodePorts"], true);
      const sticky = await spec("sticky", { sessionAffinity: "ClientIP", ports: [{ port: 80 }] });
      assert.deepEqual(sticky["sessionAffinityConfig"], { clientIP: { timeoutSeconds: 10_800 } });
    },
  },
  {
    name: "services that cannot be, by field",
    run: async (api) => {
      const wrong = (spec: JsonObject) => fields(api, "services", service("wrong", spec));
      assert.deepEqual(await wrong({ clusterIP: "10.200.0.1", ports: [{ port: 80 }] }), [
        "FieldValueInvalid spec.clusterIPs",
      ]);
      assert.deepEqual(await wrong({ ports: [{ port: 0 }] }), [
        "FieldValueInvalid spec.ports[0].port",
        "FieldValueInvalid spec.ports[0].targetPort",
      ]);
      assert.deepEqual(await wrong({ ports: [{ port: 80 }, { port: 81 }] }), [
        "FieldValueRequired spec.ports[0].name",
        "FieldValueRequired spec.ports[1].name",
      ]);
      assert.deepEqual(await wrong({ type: "Odd", ports: [{ port: 80 }] }), [
        "FieldValueNotSupported spec.type",
      ]);
      assert.deepEqual(await wrong({ type: "NodePort", ports: [{ port: 80, nodePort: 5 }] }), [
        "FieldValueInvalid spec.ports[0].nodePort",
      ]);
    },
  },
  {
    name: "a traffic policy is refused of a service that nobody outside reaches",
    run: async (api) => {
      const body = service("inside", { externalTrafficPolicy: "Local", ports: [{ port: 80 }] });
      assert.deepEqual(await fields(api, "services", body), ["FieldValueInvalid spec.externalTrafficPolicy"]);
    },
    embedded: {
      differs: "A Service's fields that its type does not use are dropped, also on creation.",
      run: async (api) => {
        const body = service("inside", { externalTrafficPolicy: "Local", ports: [{ port: 80 }] });
        const made = await create(api, "services", body);
        assert.deepEqual([made.code, valueAt(made.body, "spec", "externalTrafficPolicy")], [201, undefined]);
      },
    },
  },
  {
    name: "network policies: defaults, and what cannot be, by field",
    run: async (api) => {
      const made = await create(
        api,
        policies,
        policy("made", { podSelector: {}, ingress: [{ ports: [{ port: 80 }] }] }),
      );
      assert.deepEqual(objectAt(made.body, "spec"), {
        podSelector: {},
        ingress: [{ ports: [{ port: 80, protocol: "TCP" }] }],
        policyTypes: ["Ingress"],
      });
      const egress = await create(api, policies, policy("egress", { podSelector: {}, egress: [{}] }));
      assert.deepEqual(valueAt(egress.body, "spec", "policyTypes"), ["Ingress", "Egress"]);
      for (const [rule, problem] of wrongRules) {
        assert.deepEqual(await fields(api, policies, policy("wrong", { podSelector: {}, ingress: [rule] })), [
          problem,
        ]);
      }
    },
    embedded: {
      differs:
        "What is wrong with a NetworkPolicy is said with the words and reasons of `weft lab apply`; the fields are the same.",
      run: async (api) => {
        for (const [rule, problem] of wrongRules) {
          const found = await fields(api, policies, policy("wrong", { podSelector: {}, ingress: [rule] }));
          assert.deepEqual(found, [`FieldValueInvalid ${problem.split(" ")[1]}`]);
        }
      },
    },
  },
  {
    name: "endpoint slices: defaults, and addresses of their type",
    run: async (api) => {
      const slices = "discovery.k8s.io/v1/endpointslices";
      const slice = (name: string, more: JsonObject): JsonObject => ({
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: { name },
        ...more,
      });
      const ports = [{ port: 80 }];
      const made = await create(
        api,
        slices,
        slice("made", { addressType: "IPv4", endpoints: [{ addresses: ["10.0.0.1"] }], ports }),
      );
      assert.deepEqual(made.body["endpoints"], [{ addresses: ["10.0.0.1"], conditions: {} }]);
      assert.deepEqual(made.body["ports"], [{ name: "", protocol: "TCP", port: 80 }]);
      const wrong = slice("wrong", { addressType: "IPv4", endpoints: [{ addresses: ["fd00::1"] }] });
      assert.deepEqual(await fields(api, slices, wrong), ["FieldValueInvalid endpoints[0].addresses"]);
      assert.deepEqual(await fields(api, slices, slice("typeless", { endpoints: [] })), [
        "FieldValueRequired addressType",
      ]);
    },
  },
  {
    name: "a lease's times are kept to the microsecond; its duration is positive",
    run: async (api) => {
      const leases = "coordination.k8s.io/v1/leases";
      const spec = {
        holderIdentity: "a",
        leaseDurationSeconds: 15,
        renewTime: "2026-01-01T00:00:00.123456Z",
      };
      const lease = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata: { name: "made" }, spec };
      const made = await create(api, leases, lease);
      assert.deepEqual([made.code, objectAt(made.body, "spec")], [201, spec]);
      const wrong = { ...lease, metadata: { name: "wrong" }, spec: { leaseDurationSeconds: 0 } };
      assert.deepEqual(await fields(api, leases, wrong), ["FieldValueInvalid spec.leaseDurationSeconds"]);
    },
  },
  {
    name: "a node's pod ranges are given once; its conditions are merged by type",
    run: async (api) => {
      const name = `node-${api.namespace}`;
      const at = `/api/v1/nodes/${name}`;
      const made = await api.call("POST", "/api/v1/nodes", {
        apiVersion: "v1",
        kind: "Node",
        metadata: { name },
      });
      assert.equal(made.code, 201);
      const given = await api.call(
        "PATCH",
        at,
        { spec: { podCIDR: "10.0.0.0/24", podCIDRs: ["10.0.0.0/24"] } },
        mergePatch,
      );
      assert.equal(given.code, 200);
      const other = await api.call(
        "PATCH",
        at,
        { spec: { podCIDR: "10.1.0.0/24", podCIDRs: ["10.1.0.0/24"] } },
        mergePatch,
      );
      assert.equal(other.code, 422);
      assert.match(
        message(other),
        /spec\.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid/,
      );
      const condition = (type: string, status: string) => ({ status: { conditions: [{ type, status }] } });
      await api.call("PATCH", `${at}/status`, condition("Ready", "True"), strategicPatch);
      const two = await api.call(
        "PATCH",
        `${at}/status`,
        condition("NetworkUnavailable", "False"),
        strategicPatch,
      );
      const types = listAt(two.body, "status", "conditions").map((one) => `${one["type"]}=${one["status"]}`);
      assert.deepEqual(types.sort(), ["NetworkUnavailable=False", "Ready=True"]);
      await api.call("DELETE", at);
    },
  },
  {
    name: "pods: ports of the host, what may be changed, a generation",
    run: async (api) => {
      const containers = [{ name: "a", image: "x", ports: [{ containerPort: 80 }] }];
      const made = await create(api, "pods", {
        ...pod("host"),
        spec: { hostNetwork: true, nodeName: "nowhere", containers },
      });
      const [container] = listAt(made.body, "spec", "containers");
      assert.deepEqual(listAt(container, "ports"), [{ containerPort: 80, hostPort: 80, protocol: "TCP" }]);
      assert.equal(container?.["imagePullPolicy"], "Always");
      assert.equal(valueAt(made.body, "metadata", "generation"), 1);
      assert.equal(stringAt(made.body, "status", "qosClass"), "BestEffort");
      const fixed = await api.call(
        "PATCH",
        api.path("pods", "host"),
        { spec: { hostname: "other" } },
        mergePatch,
      );
      assert.equal(fixed.code, 422);
      assert.match(message(fixed), /spec: Forbidden: pod updates may not change fields other than/);
      const twice = [
        { name: "a", image: "x" },
        { name: "a", image: "y" },
      ];
      const wrong = { ...pod("wrong"), spec: { containers: twice } };
      assert.deepEqual(await fields(api, "pods", wrong), ["FieldValueDuplicate spec.containers[1].name"]);
    },
  },
];
