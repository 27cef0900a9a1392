// SPDX-License-Identifier: Apache-2.0
// What a Service is told in its status and by Events, against an API server: the lab's own, or a real one (`WEFT_TEST_KUBECONFIG`).
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import type { KubeClient } from "#k8s/client.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { eventually } from "#kit/eventually.ts";
import { startTestApi } from "#kit/test-api.ts";
import { createHealth } from "#lib/health.ts";
import { parseOperatorConfig } from "#operator/config.ts";
import { conditionType } from "#operator/service-problems.ts";
import { leaderWork } from "../../../src/main/operator-work.ts";

async function atWork(client: KubeClient) {
  const stop = new AbortController();
  const ready = Promise.withResolvers<void>();
  const deps = { config: parseOperatorConfig("", "test"), client, health: createHealth() };
  const ended = leaderWork({ ...deps, log: pino({ level: "silent" }) }, stop.signal, ready.resolve);
  await Promise.race([ready.promise, ended]);
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await ended;
    },
  };
}

const events = { group: "events.k8s.io", version: "v1", plural: "events" };
interface Told extends KubeObject {
  readonly reason: string;
  readonly note: string;
  readonly regarding: { readonly kind: string; readonly name: string };
}
interface Watched extends KubeObject {
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly message: string }[] };
}
const service = (name: string, spec: object, annotations: Record<string, string> = {}) =>
  ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { namespace: "default", name, annotations },
    spec: { ports: [{ name: "http", port: 80 }], ...spec },
  }) as KubeObject;

async function saidOf(client: KubeClient, name: string): Promise<string | undefined> {
  const { status } = await client.get<Watched>(resources.services, { namespace: "default", name });
  return status?.conditions?.find(({ type }) => type === conditionType)?.message;
}

async function toldOf(client: KubeClient): Promise<string[]> {
  const { items } = await client.list<Told>(events, { namespace: "default" });
  return items
    .filter(({ regarding }) => regarding.kind === "Service")
    .map(({ reason, note, regarding }) => `${regarding.name} ${reason}: ${note}`)
    .sort();
}

test("a Service that cannot be served as it asks says so in its status and in one Event, until it can", async () => {
  await using api = await startTestApi();
  const { client } = api;
  const shared = { externalIPs: ["203.0.113.7"] };
  await client.create(resources.services, service("old", shared));
  // Ages are in seconds.
  await eventually(async () => {
    const { metadata } = await client.get(resources.services, { namespace: "default", name: "old" });
    const made = Date.parse(String((metadata as { creationTimestamp?: string }).creationTimestamp));
    assert.ok(Date.now() - made > 1_000);
  });
  const lost = "203.0.113.7:80/TCP: of Service default/old, which is older";
  const unknown = 'service.cilium.io/lb-algorithm: "fastest" is none of random, maglev';
  const all = [`first AddressConflict: ${lost}`, `odd Unsupported: ${unknown}`];
  {
    await using _ = await atWork(client);
    await client.create(resources.services, service("first", shared));
    await client.create(
      resources.services,
      service("odd", {}, { "service.cilium.io/lb-algorithm": "fastest" }),
    );
    await eventually(async () => {
      assert.equal(await saidOf(client, "first"), lost);
      assert.equal(await saidOf(client, "odd"), unknown);
      assert.deepEqual(await toldOf(client), all);
    });
    assert.equal(await saidOf(client, "old"), undefined, "the older owner has what it asks for");
  }
  await using _ = await atWork(client);
  await client.delete(resources.services, { namespace: "default", name: "old" });
  await eventually(async () => assert.equal(await saidOf(client, "first"), undefined));
  assert.deepEqual(await toldOf(client), all, "a restart repeats nothing");
  assert.equal(await saidOf(client, "odd"), unknown);
});

test("an endpoint that is a service's address is told to the Service that has it", async () => {
  await using api = await startTestApi();
  const { client } = api;
  await using _ = await atWork(client);
  const target = await client.create<KubeObject & { readonly spec?: { readonly clusterIP: string } }>(
    resources.services,
    service("target", {}),
  );
  const address = target.spec!.clusterIP;
  await client.create(resources.services, service("chained", {}));
  await client.create(resources.endpointSlices, {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      namespace: "default",
      name: "chained-1",
      labels: { "kubernetes.io/service-name": "chained" },
    },
    addressType: "IPv4",
    ports: [{ name: "http", port: 80, protocol: "TCP" }],
    endpoints: [{ addresses: [address] }],
  } as KubeObject);
  const wrong = `endpoint ${address} is an address of Service default/target: nobody is led there`;
  await eventually(async () => assert.equal(await saidOf(client, "chained"), wrong));
  await client.delete(resources.services, { namespace: "default", name: "target" });
  await eventually(async () => assert.equal(await saidOf(client, "chained"), undefined));
});
