// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { kinds } from "../cluster.ts";
import type { Deployment, Job, PodTemplate } from "../objects.ts";
import { startTestCluster } from "./fixture.ts";

function template(app: string, image = "a"): PodTemplate {
  return {
    metadata: { labels: { app } },
    spec: { containers: [{ name: "c", image, ports: [{ name: "http", containerPort: 8080 }] }] },
  };
}

function deployment(replicas: number): Deployment {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web", namespace: "t" },
    spec: { replicas, selector: { matchLabels: { app: "web" } }, template: template("web") },
  };
}

test("a deployment gets its pods, spread over the nodes", async () => {
  using test = await startTestCluster(3);
  await test.apply(kinds.deployment, deployment(6));
  await test.until(
    "6 available",
    () => test.cluster.cache(kinds.deployment).get("t/web")?.status?.availableReplicas === 6,
  );
  const perNode = Map.groupBy(test.pods(), (pod) => pod.spec.nodeName);
  assert.deepEqual(
    [...perNode.values()].map((pods) => pods.length),
    [2, 2, 2],
  );
});

test("a new template replaces the pods and never leaves too few", async () => {
  using test = await startTestCluster(2);
  await test.apply(kinds.deployment, deployment(4));
  const current = () => test.cluster.cache(kinds.deployment).get("t/web")!;
  await test.until("4 available", () => current().status?.availableReplicas === 4);
  let fewest = 4;
  test.cluster.cache(kinds.pod).onChange(() => {
    fewest = Math.min(
      fewest,
      test.pods().filter((pod) => pod.status?.phase === "Running" && !pod.metadata.deletionTimestamp).length,
    );
  });
  await test.cluster.update(kinds.deployment, {
    ...current(),
    spec: { ...current().spec, template: template("web", "b") },
  });
  await test.until(
    "rolled out",
    () => test.pods().length === 4 && test.pods().every((pod) => pod.spec.containers[0]?.image === "b"),
  );
  assert.ok(fewest >= 3, `at least 3 of 4 pods must stay, there were ${fewest}`);
});

test("Recreate waits until the old pods are gone", async () => {
  using test = await startTestCluster(1);
  const made = deployment(2);
  made.spec.strategy = { type: "Recreate" };
  await test.apply(kinds.deployment, made);
  const current = () => test.cluster.cache(kinds.deployment).get("t/web")!;
  await test.until("2 available", () => current().status?.availableReplicas === 2);
  let mixed = false;
  test.cluster.cache(kinds.pod).onChange(() => {
    const images = new Set(test.pods().map((pod) => pod.spec.containers[0]?.image));
    if (images.size > 1) mixed = true;
  });
  await test.cluster.update(kinds.deployment, {
    ...current(),
    spec: { ...current().spec, template: template("web", "b") },
  });
  await test.until(
    "recreated",
    () => test.pods().length === 2 && test.pods().every((pod) => pod.spec.containers[0]?.image === "b"),
  );
  assert.equal(mixed, false);
});

test("a stateful set numbers its pods and makes them one after the other", async () => {
  const order: string[] = [];
  using test = await startTestCluster(2, (pod) => {
    order.push(pod.metadata.name);
    return true;
  });
  await test.apply(kinds.statefulSet, {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name: "db", namespace: "t" },
    spec: {
      replicas: 3,
      serviceName: "db",
      selector: { matchLabels: { app: "db" } },
      template: template("db"),
    },
  });
  await test.until(
    "3 ready",
    () => test.cluster.cache(kinds.statefulSet).get("t/db")?.status?.readyReplicas === 3,
  );
  assert.deepEqual([...new Set(order)], ["db-0", "db-1", "db-2"]);
  assert.equal(test.pods()[0]?.spec.subdomain, "db");
});

test("a daemon set has a pod on every node, also on one that comes later", async () => {
  using test = await startTestCluster(2);
  await test.apply(kinds.daemonSet, {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name: "agent", namespace: "t" },
    spec: { selector: { matchLabels: { app: "agent" } }, template: template("agent") },
  });
  await test.until("2 pods", () => test.pods().length === 2);
  await test.apply(kinds.node, { apiVersion: "v1", kind: "Node", metadata: { name: "n9" } });
  await test.until("3 pods", () => test.pods().length === 3);
  assert.deepEqual(
    test
      .pods()
      .map((pod) => pod.spec.nodeName)
      .sort(),
    ["n1", "n2", "n9"],
  );
});

test("a job runs its pods until enough have succeeded", async () => {
  using test = await startTestCluster(1, () => false);
  test.cluster.cache(kinds.pod).onChange(({ type, object: pod }) => {
    if (type === "delete" || !pod.spec.nodeName || pod.status?.phase === "Succeeded") return;
    queueMicrotask(() => {
      test.cluster
        .updateStatus(kinds.pod, { ...pod, status: { ...pod.status, phase: "Succeeded" } })
        .catch(() => {});
    });
  });
  const spec: Job["spec"] = { completions: 3, parallelism: 2, template: template("job") };
  spec.template.spec.restartPolicy = "Never";
  await test.apply(kinds.job, {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name: "j", namespace: "t" },
    spec,
  });
  const status = () => test.cluster.cache(kinds.job).get("t/j")?.status;
  await test.until("complete", () => status()?.conditions?.[0]?.type === "Complete");
  assert.equal(status()?.succeeded, 3);
  assert.equal(test.pods().length, 3);
});

test("a replica set adopts a pod that matches and lets go of one that no longer does", async () => {
  using test = await startTestCluster(1);
  await test.apply(kinds.deployment, deployment(2));
  await test.until(
    "2 pods",
    () => test.pods().length === 2 && test.pods().every((pod) => pod.status?.podIPs),
  );
  const [pod] = test.pods();
  await test.cluster.update(kinds.pod, { ...pod!, metadata: { ...pod!.metadata, labels: { app: "debug" } } });
  await test.until("3 pods", () => test.pods().length === 3);
  const freed = test.pods().find((one) => one.metadata.name === pod?.metadata.name);
  await test.until("released", () => {
    const now = test.pods().find((one) => one.metadata.name === freed?.metadata.name);
    return (now?.metadata.ownerReferences ?? []).length === 0;
  });
});
