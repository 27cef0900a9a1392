// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseManifest } from "#k8s/manifest.ts";
import { parseAddress } from "#model/ip.ts";
import { parsePort, portText } from "#model/port.ts";
import { parseQuestions } from "#model/questions.ts";
import { ask } from "./ask.ts";
import { loadCluster, type OfflineCluster } from "./cluster.ts";
import type { End } from "./end.ts";
import { findParties, withImagined } from "./ends.ts";
import { createJudge } from "./judge.ts";
import { truthOfQuestions, truthTable } from "./matrix.ts";

const manifests = `
apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { team: web } }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: front, namespace: shop }
spec:
  replicas: 3
  template:
    metadata: { labels: { app: front } }
    spec: { containers: [{ name: main, ports: [{ name: http, containerPort: 8080 }] }] }
---
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: db, namespace: data }
spec:
  template:
    metadata: { labels: { app: db } }
    spec: { serviceAccountName: keeper, containers: [{ name: main, ports: [{ containerPort: 5432 }] }] }
---
apiVersion: v1
kind: Service
metadata: { name: front, namespace: shop }
spec: { selector: { app: front }, ports: [{ port: 80, targetPort: http }] }
---
apiVersion: v1
kind: Service
metadata: { name: db, namespace: data }
spec: { clusterIP: 10.96.0.7, selector: { app: db }, ports: [{ port: 5432 }] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: db, namespace: data }
spec:
  podSelector: { matchLabels: { app: db } }
  ingress:
    - from:
        - namespaceSelector: { matchLabels: { team: web } }
      ports: [{ port: 5432 }]
    - from: [{ ipBlock: { cidr: 203.0.113.0/24 } }]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: front, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: front } }
  egressDeny:
    - toCIDR: [198.51.100.0/24]
  egress:
    - toEntities: [all]
`;

function cluster(text = manifests): OfflineCluster {
  const documents = parseManifest("all.yaml", text);
  return loadCluster(
    documents.map(({ object, file, line, lineOf }) => ({
      object,
      sourceOf: (field) => `${file}:${field === "" ? line : lineOf(field)}`,
    })),
  );
}

function endOf(all: OfflineCluster, text: string): End {
  const [party] = findParties(all, text, "default");
  assert.notEqual(party!.kind, "service");
  return party as End;
}

test("templates become pods, namespaces get their labels, rules know their line", () => {
  const { pods, namespaces, policies, services } = cluster();
  assert.deepEqual(
    pods.map(({ namespace, name, workload, replicas }) => [namespace, name, workload, replicas]),
    [
      ["data", "db-0", "db", 1],
      ["shop", "front", "front", 2],
      ["shop", "front-2", "front", 1],
    ],
  );
  assert.equal(pods[0]!.labels.get("k8s:io.cilium.k8s.policy.serviceaccount"), "keeper");
  assert.equal(pods[1]!.labels.get("k8s:io.cilium.k8s.namespace.labels.team"), "web");
  assert.deepEqual(namespaces.get("data"), { "kubernetes.io/metadata.name": "data" });
  assert.deepEqual(
    policies.flatMap(({ row }) => row.rules.map(({ origin }) => `${origin.field} ${origin.source}`)),
    [
      "spec.ingress[0] all.yaml:39",
      "spec.ingress[1] all.yaml:42",
      "spec.egress[0] all.yaml:52",
      "spec.egressDeny[0] all.yaml:50",
    ],
  );
  assert.deepEqual(
    services[1]!.ports[0]!.backends.map(({ port }) => port),
    [8080, 8080],
  );
});

test("a judgement names the rule on each side, or why there is none", () => {
  const all = cluster();
  const judge = createJudge(all);
  const say = (from: string, to: string, port: string) => {
    const { verdict, egress, ingress } = judge.judge(endOf(all, from), endOf(all, to), parsePort(port));
    const text = (side: typeof egress) =>
      [side.reason, ...side.decidedBy.map(({ source }) => source)].join(" ");
    return [verdict, text(egress), text(ingress)];
  };
  assert.deepEqual(say("shop/front", "data/db", "5432/TCP"), [
    "allow",
    "rule all.yaml:52",
    "rule all.yaml:39",
  ]);
  assert.deepEqual(say("shop/front", "data/db", "22"), [
    "deny",
    "rule all.yaml:52",
    "default-deny all.yaml:33",
  ]);
  assert.deepEqual(say("shop/front", "198.51.100.9", "443"), ["deny", "rule all.yaml:50", "no-endpoint"]);
  assert.deepEqual(say("203.0.113.9", "data/db", "22"), ["allow", "no-endpoint", "rule all.yaml:42"]);
  assert.deepEqual(say("world", "data/db", "22"), ["deny", "no-endpoint", "default-deny all.yaml:33"]);
  assert.deepEqual(say("data/db", "data/db", "22"), ["allow", "itself", "itself"]);
  assert.deepEqual(say("data/db", "shop/front", "80"), ["allow", "no-policy", "no-policy"]);
});

test("labels mean the pods that have them, or one that would", () => {
  const all = cluster();
  assert.deepEqual(findParties(all, "app=front", "shop").length, 1);
  const parties = findParties(all, "app=new", "shop");
  const judge = createJudge(withImagined(all, parties));
  assert.equal(judge.judge(parties[0] as End, endOf(all, "data/db"), parsePort("5432")).verdict, "allow");
  assert.throws(() => findParties(all, "shop/nobody", "shop"), { code: "E_QUESTION" });
});

test("a service is judged by its backends' ports", () => {
  const all = cluster();
  const judge = createJudge(all);
  const [service] = findParties(all, "10.96.0.7", "default");
  const answer = ask(judge, endOf(all, "shop/front"), service!, parsePort("5432/TCP"));
  assert.deepEqual([answer.verdict, answer.via, answer.paths.length], ["allow", "service", 1]);
  assert.match(ask(judge, endOf(all, "shop/front"), service!, parsePort("80")).note!, /has no port 80\/TCP/);
});

test("the table has the rows of a probe: workloads to services, or pods to ports, or a list's", () => {
  const judge = createJudge(cluster());
  const text = (truths: ReturnType<typeof truthTable>) =>
    truths.map(({ row: { from, to, verdict } }) => {
      const target = to.service || to.pod || to.ip;
      return `${from.ip ?? from.pod} ${target}:${to.port}/${to.protocol} ${verdict}`;
    });
  assert.deepEqual(text(truthTable(judge, {})), [
    "db-0 db:5432/TCP allow",
    "db-0 front:80/TCP allow",
    "front db:5432/TCP allow",
    "front front:80/TCP allow",
  ]);
  const options = {
    ports: [parsePort("22")],
    externals: [parseAddress("198.51.100.9")],
    namespaces: ["data"],
  };
  assert.deepEqual(text(truthTable(judge, options)), [
    "db-0 db-0:22/TCP allow",
    "db-0 198.51.100.9:22/TCP allow",
    "198.51.100.9 db-0:22/TCP deny",
  ]);
  const list = parseQuestions(
    '[{"from":"203.0.113.4","to":"data/db","port":5432},{"from":"shop/front","to":"data/db","protocol":"ICMP"}]',
    "list",
  );
  assert.deepEqual(text(truthOfQuestions(judge, list)), [
    "203.0.113.4 db-0:5432/TCP allow",
    "front db-0:0/ICMP deny",
  ]);
});

test("ports are read as they are written, and refused by what is wrong", () => {
  for (const text of ["80/TCP", "53/UDP", "9999/SCTP", "ICMP", "ICMP/3", "ICMPv6", "IP/47"])
    assert.equal(portText(parsePort(text)), text);
  assert.equal(portText(parsePort("8080")), "8080/TCP");
  for (const text of ["", "x", "80/FOO", "70000", "0", "TCP", "1/2/3"])
    assert.throws(() => parsePort(text), { code: "E_USAGE" }, text);
});
