// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod, Service } from "../objects.ts";
import { containerEnv, type EnvSources } from "./env.ts";
import { etcFiles } from "./etc.ts";
import { LogBuffer } from "./log-buffer.ts";
import { type ContainerView, type PodView, podStatus } from "./pod-status.ts";

const pod: Pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web", namespace: "shop", uid: "u", labels: { app: "web" } },
  spec: { nodeName: "n1", containers: [{ name: "c", image: "i" }] },
};

function container(change: Partial<ContainerView> = {}): ContainerView {
  const running = { running: { startedAt: "2026-01-01T00:00:00Z" } };
  return {
    spec: { name: "c", image: "i" },
    id: "weft://1",
    state: running,
    lastState: {},
    restarts: 0,
    started: true,
    ready: true,
    final: false,
    ...change,
  };
}

function view(change: Partial<PodView> = {}): PodView {
  return {
    pod,
    startTime: "2026-01-01T00:00:00Z",
    hostIps: ["172.30.0.11"],
    podIps: ["10.0.0.1"],
    sandboxReady: true,
    init: [],
    main: [container()],
    ...change,
  };
}

function condition(status: ReturnType<typeof podStatus>, type: string): string | undefined {
  return status.conditions?.find((one) => one.type === type)?.status;
}

function ended(exitCode: number, final = true): Partial<ContainerView> {
  return { state: { terminated: { exitCode, reason: "x" } }, ready: false, started: false, final };
}

test("a pod is ready when its containers and its gates are", () => {
  assert.equal(condition(podStatus(view(), "t"), "Ready"), "True");
  assert.equal(condition(podStatus(view({ main: [container({ ready: false })] }), "t"), "Ready"), "False");
  const gated = { ...pod, spec: { ...pod.spec, readinessGates: [{ conditionType: "g" }] } };
  assert.equal(condition(podStatus(view({ pod: gated }), "t"), "Ready"), "False");
  const open = { ...gated, status: { conditions: [{ type: "g", status: "True" as const }] } };
  const status = podStatus(view({ pod: open }), "t");
  assert.equal(condition(status, "Ready"), "True");
  assert.equal(condition(status, "g"), "True", "conditions of others are kept");
});

test("the phase follows the containers", () => {
  assert.equal(podStatus(view(), "t").phase, "Running");
  assert.equal(podStatus(view({ main: [container(ended(0))] }), "t").phase, "Succeeded");
  assert.equal(podStatus(view({ main: [container(ended(0)), container(ended(3))] }), "t").phase, "Failed");
  assert.equal(podStatus(view({ main: [container(ended(3, false))] }), "t").phase, "Running");
  assert.equal(podStatus(view({ init: [container()] }), "t").phase, "Pending");
  assert.equal(podStatus(view({ init: [container(ended(1))] }), "t").phase, "Failed");
});

test("a condition keeps its time while its status stays", () => {
  const first = podStatus(view(), "t1");
  const again = podStatus(view({ pod: { ...pod, status: first } }), "t2");
  assert.deepEqual(again.conditions, first.conditions);
});

const sources: EnvSources = {
  configMap: async (name) => (name === "cm" ? { A: "1", B: "2" } : undefined),
  secret: async (name) => (name === "s" ? { token: "x" } : undefined),
  *services(): Iterable<Service> {
    const spec = { clusterIP: "10.96.0.9", ports: [{ name: "http", port: 80 }] };
    yield { apiVersion: "v1", kind: "Service", metadata: { name: "my-cart", namespace: "shop" }, spec };
  },
  podIps: ["10.0.0.1"],
  hostIps: ["172.30.0.11"],
};

test("variables come from services, maps, secrets and fields, and see those before them", async () => {
  const env = await containerEnv(
    pod,
    {
      name: "c",
      envFrom: [{ prefix: "P_", configMapRef: { name: "cm" } }],
      env: [
        { name: "T", valueFrom: { secretKeyRef: { name: "s", key: "token" } } },
        { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
        { name: "APP", valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
        {
          name: "URL",
          value: "http://$(MY_CART_SERVICE_HOST):$(MY_CART_SERVICE_PORT_HTTP)/$(T) $$(T) $(NONE)",
        },
      ],
    },
    sources,
  );
  assert.deepEqual([env.P_A, env.T, env.IP, env.APP], ["1", "x", "10.0.0.1", "web"]);
  assert.equal(env.URL, "http://10.96.0.9:80/x $(T) $(NONE)");
});

test("a missing source is an error unless it is optional", async () => {
  const from = (optional: boolean) => ({
    name: "c",
    env: [{ name: "X", valueFrom: { configMapKeyRef: { name: "none", key: "k", optional } } }],
  });
  await assert.rejects(containerEnv(pod, from(false), sources), {
    code: "E_CONTAINER_CONFIG",
    message: /ConfigMap none/,
  });
  assert.equal((await containerEnv(pod, from(true), sources)).X, undefined);
});

test("resolv.conf and hosts follow dnsPolicy and dnsConfig", () => {
  const files = etcFiles(pod, { ips: ["10.0.0.1"], nameservers: ["10.96.0.10"] });
  assert.equal(
    files["resolv.conf"],
    "nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n",
  );
  assert.match(files.hosts, /^10\.0\.0\.1\tweb$/m);
  const none = {
    ...pod,
    spec: { ...pod.spec, dnsPolicy: "None", dnsConfig: { nameservers: ["1.1.1.1"], searches: ["x"] } },
  };
  assert.equal(
    etcFiles(none, { ips: [], nameservers: ["10.96.0.10"] })["resolv.conf"],
    "nameserver 1.1.1.1\nsearch x\noptions ndots:5\n",
  );
});

test("a log keeps its last lines within its bounds", () => {
  const log = new LogBuffer(2_000);
  for (let i = 0; i < 1_000; i++) log.write(`line ${i}\n`);
  log.write("half");
  const lines = log.lines();
  assert.ok(lines.length < 60);
  assert.equal(lines.at(-1)?.text, "line 999");
  log.flush();
  assert.deepEqual(
    log.lines({ tail: 1 }).map((line) => line.text),
    ["half"],
  );
  assert.deepEqual(log.lines({ tail: 0 }), []);
  const followed: string[] = [];
  log.follow({ onLine: ({ text }) => followed.push(text), onEnd: () => followed.push("end") });
  log.write("last");
  log.end();
  assert.deepEqual(followed, ["last", "end"]);
});

test("an init container that has done its work is ready, one that failed is not", () => {
  const ended = (exitCode: number) => {
    const startedAt = "2026-01-01T00:00:00Z";
    const terminated = { exitCode, reason: "", startedAt, finishedAt: startedAt };
    return container({ state: { terminated }, ready: false, final: true });
  };
  const ready = (exitCode: number) =>
    podStatus(view({ init: [ended(exitCode)] }), "2026-01-01T00:00:01Z").initContainerStatuses?.[0]?.ready;
  assert.equal(ready(0), true);
  assert.equal(ready(1), false);
});
