// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { kinds } from "../cluster.ts";
import type { Condition, Pod, Service } from "../objects.ts";
import { startTestCluster } from "./fixture.ts";
import { desiredSlices, legacySubsets } from "./slices.ts";

interface PodOptions {
  readonly ready?: boolean;
  readonly terminating?: boolean;
  readonly port?: number;
  readonly ips?: string[];
}

function pod(name: string, options: PodOptions = {}): Pod {
  const { ready = true, terminating = false, port = 8080, ips = ["10.244.1.5"] } = options;
  const condition: Condition = { type: "Ready", status: ready ? "True" : "False" };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: "t",
      uid: name,
      ...(terminating && { deletionTimestamp: "2026-01-01T00:00:00Z" }),
    },
    spec: {
      nodeName: "n1",
      containers: [{ name: "c", image: "web", ports: [{ name: "http", containerPort: port }] }],
    },
    status: { phase: "Running", podIPs: ips.map((ip) => ({ ip })), conditions: [condition] },
  };
}

function service(spec: Partial<Service["spec"]> = {}): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "t", uid: "s" },
    spec: {
      clusterIP: "10.96.0.5",
      ipFamilies: ["IPv4"],
      selector: { app: "web" },
      ports: [{ name: "http", port: 80, targetPort: "http" }],
      ...spec,
    },
  };
}

test("conditions say ready, serving and terminating", () => {
  const pods = [pod("a"), pod("b", { ready: false }), pod("c", { terminating: true })];
  const [slice] = desiredSlices(service(), pods);
  assert.deepEqual(
    slice?.endpoints?.map((endpoint) => endpoint.conditions),
    [
      { ready: true, serving: true, terminating: false },
      { ready: false, serving: false, terminating: false },
      { ready: false, serving: true, terminating: true },
    ],
  );
  const [open] = desiredSlices(service({ publishNotReadyAddresses: true }), [pod("b", { ready: false })]);
  assert.equal(open?.endpoints?.[0]?.conditions?.ready, true);
});

test("a named target port is the pod's own: pods with other numbers are in a slice of their own", () => {
  const slices = desiredSlices(service(), [pod("a"), pod("b", { port: 9090 }), pod("c")]);
  const shape = slices.map((slice) => [slice.ports?.[0]?.port, slice.endpoints?.length]);
  assert.deepEqual(shape, [
    [8080, 2],
    [9090, 1],
  ]);
});

test("dual stack gives a slice per family, each with the addresses of its own", () => {
  const slices = desiredSlices(service({ ipFamilies: ["IPv4", "IPv6"] }), [
    pod("a", { ips: ["10.244.1.5", "fd00::5"] }),
  ]);
  const shape = slices.map((slice) => [slice.addressType, slice.endpoints?.[0]?.addresses[0]]);
  assert.deepEqual(shape, [
    ["IPv4", "10.244.1.5"],
    ["IPv6", "fd00::5"],
  ]);
});

test("a slice holds at most 100 endpoints", () => {
  const pods = Array.from({ length: 250 }, (_, i) => pod(`p${String(i).padStart(3, "0")}`));
  const slices = desiredSlices(service(), pods);
  assert.deepEqual(
    slices.map((slice) => slice.endpoints?.length),
    [100, 100, 50],
  );
  assert.equal(new Set(slices.map((slice) => slice.metadata.name)).size, 3);
});

test("a finished pod and one without address are not behind a service", () => {
  const done = pod("done");
  const slices = desiredSlices(service(), [
    { ...done, status: { ...done.status, phase: "Succeeded" } },
    pod("new", { ips: [] }),
  ]);
  assert.deepEqual(
    slices.map((slice) => slice.endpoints),
    [[]],
  );
});

test("legacy endpoints list ready and not ready addresses apart", () => {
  const slices = desiredSlices(service(), [pod("a"), pod("b", { ready: false, ips: ["10.244.1.6"] })]);
  const [subset] = legacySubsets(slices, "IPv4") as {
    addresses: { ip: string }[];
    notReadyAddresses: { ip: string }[];
  }[];
  assert.equal(subset?.addresses[0]?.ip, "10.244.1.5");
  assert.equal(subset?.notReadyAddresses[0]?.ip, "10.244.1.6");
});

test("slices follow pods that come and go, and go with their service", async () => {
  using cluster = await startTestCluster(1);
  const made = await cluster.apply(kinds.service, {
    ...service(),
    metadata: { name: "web", namespace: "t" },
  });
  const bare: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "a", namespace: "t", labels: { app: "web" } },
    spec: pod("a").spec,
  };
  delete bare.spec.nodeName;
  const stored = await cluster.apply(kinds.pod, bare);
  const addresses = () =>
    [...cluster.cluster.cache(kinds.endpointSlice).all()].flatMap((slice) => slice.endpoints ?? []).length;
  await cluster.until("one endpoint", () => addresses() === 1);
  await cluster.until(
    "legacy endpoints",
    () => cluster.cluster.cache(kinds.endpoints).get("t/web") !== undefined,
  );
  await cluster.cluster.remove(kinds.pod, stored, { gracePeriodSeconds: 0 });
  await cluster.until("no endpoint", () => addresses() === 0);
  await cluster.cluster.remove(kinds.service, made);
  await cluster.until("no slice", () => [...cluster.cluster.cache(kinds.endpointSlice).all()].length === 0);
});
