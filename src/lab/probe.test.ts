// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseQuestions } from "#model/questions.ts";
import { mergeMetrics } from "./merge-metrics.ts";
import type { EndpointSlice, Pod, Service } from "./objects.ts";
import type { ClusterView } from "./probe-attempt.ts";
import { matrixAttempts } from "./probe-matrix.ts";
import { questionAttempts } from "./probe-questions.ts";

function pod(name: string, ip: string, workload = name, namespace = "shop"): Pod {
  const owner = {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    name: `${workload}-x1`,
    uid: workload,
    controller: true,
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: { "pod-template-hash": "x1" }, ownerReferences: [owner] },
    spec: { nodeName: "n1", containers: [{ name: "c" }] },
    status: { phase: "Running", podIPs: [{ ip }] },
  };
}

function service(name: string, spec: Service["spec"], namespace = "shop"): Service {
  return { apiVersion: "v1", kind: "Service", metadata: { name, namespace }, spec };
}

const slice: EndpointSlice = {
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name: "db-1", namespace: "shop", labels: { "kubernetes.io/service-name": "db" } },
  addressType: "IPv4",
  endpoints: [{ addresses: ["10.0.0.3"], targetRef: { kind: "Pod", namespace: "shop", name: "db-a" } }],
};
const view: ClusterView = {
  pods: [
    pod("web-a", "10.0.0.1", "web"),
    pod("web-b", "10.0.0.2", "web"),
    pod("db-a", "10.0.0.3", "db"),
    pod("dns", "10.0.0.9", "dns", "kube-system"),
  ],
  services: [
    service("web", {
      clusterIP: "10.96.0.1",
      clusterIPs: ["10.96.0.1"],
      ports: [{ port: 80 }, { port: 53, protocol: "UDP" }],
    }),
    service("db", { clusterIP: "None", clusterIPs: ["None"], ports: [{ port: 5432 }] }),
    service(
      "kubernetes",
      { clusterIP: "10.96.0.2", clusterIPs: ["10.96.0.2"], ports: [{ port: 443 }] },
      "default",
    ),
  ],
  slices: [slice],
  nodes: [
    {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: "n1" },
      status: {
        addresses: [
          { type: "InternalIP", address: "172.30.0.2" },
          { type: "Hostname", address: "n1" },
        ],
      },
    },
  ],
};

test("the matrix asks from one pod of each workload to each port, headless services by their pods", () => {
  const asked = matrixAttempts(view, {}).map(
    ({ from, to, via }) =>
      `${from.workload} ${via} ${to.service} ${to.pod} ${to.ip}:${to.port}/${to.protocol}`,
  );
  assert.deepEqual(asked, [
    "db pod db db-a 10.0.0.3:5432/TCP",
    "db service web  10.96.0.1:80/TCP",
    "db service web  10.96.0.1:53/UDP",
    "web pod db db-a 10.0.0.3:5432/TCP",
    "web service web  10.96.0.1:80/TCP",
    "web service web  10.96.0.1:53/UDP",
  ]);
});

test("a service without pods is marked: a refusal there is no way through", () => {
  assert.equal(matrixAttempts(view, {}).find(({ to }) => to.service === "web")?.unbacked, true);
});

test("questions are answered in their order, by pod, workload, service or address", () => {
  const questions = parseQuestions(
    '[{"from":"shop/web-b","to":"shop/db-a","port":5432},{"from":"shop/web","to":"8.8.8.8","protocol":"ICMP"},{"from":"shop/db","to":"shop/web-a","port":80,"protocol":"UDP"}]',
    "q",
  );
  const asked = questionAttempts(view, questions).map(
    ({ from, to }) => `${from.pod} ${to.ip}:${to.port}/${to.protocol}`,
  );
  assert.deepEqual(asked, ["web-b 10.0.0.3:5432/TCP", "web-a 8.8.8.8:0/ICMP", "db-a 10.0.0.1:80/UDP"]);
});

test("nodes and addresses ask too: a pod's is the pod, a node's the node, any other the world", () => {
  const questions = parseQuestions(
    `{"from":"node:n1","to":"shop/web","port":80}
     {"from":"172.30.0.2","to":"shop/web","port":9,"protocol":"SCTP"}
     {"from":"10.0.0.3","to":"node:n1","protocol":"ICMPv6"}
     {"from":"203.0.113.7","to":"172.30.0.2","port":30080}`,
    "q",
  );
  const asked = questionAttempts(view, questions).map(
    ({ from, node, source, to }) =>
      `${from.pod || from.ip} of ${node || "the world"} ${source ?? ""} → ${to.ip}:${to.port}/${to.protocol}`,
  );
  assert.deepEqual(asked, [
    "172.30.0.2 of n1  → 10.0.0.1:80/TCP",
    "172.30.0.2 of n1  → 10.0.0.1:9/SCTP",
    "db-a of n1  → 172.30.0.2:0/ICMP",
    "203.0.113.7 of the world 203.0.113.7 → 172.30.0.2:30080/TCP",
  ]);
});

test("the world has no way to pods but through nodes", () => {
  const questions = parseQuestions('{"from":"203.0.113.7","to":"shop/web","port":80}', "q");
  assert.throws(() => questionAttempts(view, questions), {
    code: "E_QUESTION",
    message: /1: to: .*NodePort/,
  });
});

const bad: [string, RegExp][] = [
  ["{", /q: not JSON/],
  ['[{"from":"web","to":"a/b","port":1}]', /question 1: from: /],
  ['[{"from":"a/b","to":"a/b","port":0}]', /question 1: port: 0 is not a port/],
  ['[{"from":"a/b","to":"a/b","port":1,"protocol":"IGMP"}]', /question 1: protocol: /],
  ['[{"from":"a/b","to":"a/b","prot":1}]', /question 1: prot: unknown field/],
];
for (const [text, message] of bad) {
  test(`questions ${text} are refused`, () =>
    assert.throws(() => parseQuestions(text, "q"), { code: "E_QUESTION", message }));
}

test("a pod that is not there is named", () => {
  const questions = parseQuestions('{"from":"shop/none","to":"8.8.8.8","port":80}', "q");
  assert.throws(() => questionAttempts(view, questions), {
    code: "E_QUESTION",
    message: /question 1: from: .*shop\/none/,
  });
});

test("metrics of several nodes are one text, each sample with its node", () => {
  const text = '# HELP up Works.\n# TYPE up gauge\nup 1\nup{a="b"} 2\n';
  const merged = mergeMetrics([
    { node: "n1", text },
    { node: "n2", text: "# HELP up Works.\n# TYPE up gauge\nup 3\n" },
  ]);
  assert.equal(
    merged,
    '# HELP up Works.\n# TYPE up gauge\nup{node="n1"} 1\nup{a="b",node="n1"} 2\nup{node="n2"} 3\n',
  );
});
