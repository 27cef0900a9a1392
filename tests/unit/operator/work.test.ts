// SPDX-License-Identifier: Apache-2.0
// The leader's work against an API server: the lab's own, or a real one (`WEFT_TEST_KUBECONFIG`).
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import type { KubeClient } from "#k8s/client.ts";
import { isNotFound } from "#k8s/errors.ts";
import { type KubeObject, type Resource, resources } from "#k8s/resource.ts";
import { eventually } from "#kit/eventually.ts";
import { startTestApi } from "#kit/test-api.ts";
import { createHealth } from "#lib/health.ts";
import type { CiliumNodeObject } from "#nodes/cilium-node.ts";
import { type OperatorConfig, parseOperatorConfig } from "#operator/config.ts";
import type { SliceObject } from "#operator/slices.ts";
import { type GcTimes, leaderWork } from "../../../src/main/operator-work.ts";

const base = parseOperatorConfig("", "test");

/** Runs the work until disposal. */
async function atWork(client: KubeClient, config: OperatorConfig, gc: Partial<GcTimes> = {}) {
  const stop = new AbortController();
  const health = createHealth();
  const ready = Promise.withResolvers<void>();
  const log = pino({ level: "silent" });
  const ended = leaderWork({ config, client, health, log, gc }, stop.signal, ready.resolve);
  await Promise.race([ready.promise, ended]);
  return {
    health,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await ended;
    },
  };
}

async function setUp() {
  const api = await startTestApi();
  for (const resource of [resources.ciliumNodes, resources.ciliumEndpointSlices, resources.ciliumIdentities])
    await removeAll(api.client, resource);
  return api;
}

/** A real server has none of the kinds yet. */
async function removeAll(client: KubeClient, resource: Resource): Promise<void> {
  try {
    for (const { metadata } of (await client.list(resource)).items)
      await client.delete(resource, { name: metadata?.name ?? "" });
  } catch (thrown) {
    if (!isNotFound(thrown)) throw thrown;
  }
}

const nodeOf = (name: string, podCIDRs: string[] = []): CiliumNodeObject => ({
  apiVersion: "cilium.io/v2",
  kind: "CiliumNode",
  metadata: { name },
  spec: { ipam: { podCIDRs } },
});

const kubeNode = (name: string, address: string) =>
  ({
    apiVersion: "v1",
    kind: "Node",
    metadata: { name },
    status: { addresses: [{ type: "InternalIP", address }] },
  }) as KubeObject;

const identity = (id: number) => ({
  apiVersion: "cilium.io/v2",
  kind: "CiliumIdentity",
  metadata: { name: String(id) },
  "security-labels": { "k8s:app": `a${id}` },
});

/** Without a pod as owner, else the API server's garbage collector would take it away. */
function endpoint(name: string, id: number): KubeObject {
  const status = {
    id: 1,
    state: "ready",
    identity: { id, labels: ["k8s:app=a"] },
    networking: { addressing: [{ ipv4: "10.1.0.2" }], node: "192.0.2.1" },
  };
  const metadata = { namespace: "default", name };
  return { apiVersion: "cilium.io/v2", kind: "CiliumEndpoint", metadata, status } as KubeObject;
}

async function versions(client: KubeClient, resource: Resource): Promise<string[]> {
  const { items } = await client.list(resource);
  return items.map(({ metadata }) => `${metadata?.name}@${metadata?.resourceVersion}`).sort();
}

async function exists(
  client: KubeClient,
  resource: Resource,
  name: string,
  namespace?: string,
): Promise<boolean> {
  try {
    await client.get(resource, { name, namespace });
    return true;
  } catch (thrown) {
    if (isNotFound(thrown)) return false;
    throw thrown;
  }
}

test("cluster-pool: nodes get pod CIDRs, keep them over a restart, and learn when there are none left", async () => {
  await using api = await setUp();
  const { client } = api;
  const config = parseOperatorConfig(
    "ipam: cluster-pool\nclusterPool: {v4: {cidrs: [10.1.0.0/23]}, v6: {cidrs: ['fd00::/112'], maskSize: 120}}",
    "test",
  );
  const cidrs = async (name: string) =>
    (await client.get<CiliumNodeObject>(resources.ciliumNodes, { name })).spec.ipam?.podCIDRs ?? [];
  const error = async (name: string) =>
    (await client.get<CiliumNodeObject>(resources.ciliumNodes, { name })).status?.ipam?.["operator-status"]
      ?.error;
  for (const name of ["a", "b", "c"]) await client.create(resources.nodes, kubeNode(name, "192.0.2.7"));
  {
    await using _ = await atWork(client, config);
    await client.create(resources.ciliumNodes, nodeOf("a"));
    await eventually(async () => assert.deepEqual(await cidrs("a"), ["10.1.0.0/24", "fd00::/120"]));
    await client.create(resources.ciliumNodes, nodeOf("b"));
    await eventually(async () => assert.deepEqual(await cidrs("b"), ["10.1.1.0/24", "fd00::100/120"]));
  }
  const before = await versions(client, resources.ciliumNodes);
  {
    await using working = await atWork(client, config);
    await client.create(resources.ciliumNodes, nodeOf("c"));
    await eventually(async () => assert.match((await error("c")) ?? "", /all 2 IPv4 pod CIDRs/));
    assert.match(
      working.health.rows().find(({ name }) => name === "pod-cidrs/pools")?.message ?? "",
      /used up/,
    );
    await eventually(async () => {
      const { items } = await client.list<KubeObject & { reason?: string; regarding?: { name?: string } }>(
        { group: "events.k8s.io", version: "v1", plural: "events" },
        { namespace: "default" },
      );
      assert.ok(
        items.some(({ reason, regarding }) => reason === "PodCIDRsExhausted" && regarding?.name === "c"),
      );
    });
    const after = (await versions(client, resources.ciliumNodes)).filter((one) => !one.startsWith("c@"));
    assert.deepEqual(after, before, "an operator that came back wrote what was right");
    await client.delete(resources.ciliumNodes, { name: "a" });
    await eventually(async () => assert.equal((await cidrs("c"))[0], "10.1.0.0/24"));
    await eventually(async () => assert.equal((await error("c")) ?? "", ""));
  }
  for (const name of ["a", "b", "c"]) await client.delete(resources.nodes, { name });
});

test("slices hold the endpoints there are, whatever happens to them, and a restart writes nothing", async () => {
  await using api = await setUp();
  const { client } = api;
  const config = { ...base, endpointSlices: true };
  const names = Array.from({ length: 120 }, (_, i) => `p${i}`);
  const slices = async () => (await client.list<SliceObject>(resources.ciliumEndpointSlices)).items;
  const held = async () =>
    (await slices()).flatMap(({ endpoints = [] }) => endpoints.map(({ name }) => name)).sort();
  const ref = (name: string) => ({ namespace: "default", name });
  {
    await using _ = await atWork(client, config);
    await Promise.all(names.map((name) => client.create(resources.ciliumEndpoints, endpoint(name, 300))));
    await eventually(async () => assert.deepEqual(await held(), [...names].sort()));
    assert.equal((await slices()).length, 2);
    await client.patch(resources.ciliumEndpoints, ref("p7"), {
      type: "merge",
      body: { status: { identity: { id: 301 } } },
    });
    await eventually(async () => {
      const found = (await slices())
        .flatMap(({ endpoints = [] }) => endpoints)
        .find(({ name }) => name === "p7");
      assert.equal(found?.id, 301);
    });
    await client.delete(resources.ciliumEndpointSlices, { name: (await slices())[0]!.metadata.name });
    await eventually(async () => assert.deepEqual(await held(), [...names].sort()));
    await client.delete(resources.ciliumEndpoints, ref("p7"));
    await eventually(async () => assert.equal((await held()).includes("p7"), false));
  }
  const before = await versions(client, resources.ciliumEndpointSlices);
  {
    await using _ = await atWork(client, config);
    await client.delete(resources.ciliumEndpoints, ref("p8"));
    await eventually(async () => assert.equal((await held()).length, 118));
    const same = (await versions(client, resources.ciliumEndpointSlices)).filter((one) =>
      before.includes(one),
    );
    assert.equal(same.length, 1, "the other slice was written");
  }
  {
    await using _ = await atWork(client, base);
    assert.deepEqual(await slices(), []);
  }
  for (const name of names.filter((one) => !["p7", "p8"].includes(one)))
    await client.delete(resources.ciliumEndpoints, ref(name));
});

test("identities nobody uses go after the grace time; used ones stay, and so does one that is taken meanwhile", async () => {
  await using api = await setUp();
  const { client } = api;
  for (const id of [301, 302, 303]) await client.create(resources.ciliumIdentities, identity(id));
  await client.create(resources.ciliumEndpoints, endpoint("user", 301));
  await using _ = await atWork(client, base, { identityGraceMs: 2_000, identitySweepMs: 200 });
  const marked = async (id: number) =>
    (await client.get(resources.ciliumIdentities, { name: String(id) })).metadata?.annotations?.[
      "weft.io/unused-since"
    ];
  await eventually(async () => assert.ok(await marked(303)));
  await client.create(resources.ciliumEndpoints, endpoint("late", 303));
  await eventually(async () => assert.equal(await marked(303), undefined));
  await eventually(async () => assert.equal(await exists(client, resources.ciliumIdentities, "302"), false));
  assert.equal(await exists(client, resources.ciliumIdentities, "301"), true);
  assert.equal(await exists(client, resources.ciliumIdentities, "303"), true);
  for (const name of ["user", "late"])
    await client.delete(resources.ciliumEndpoints, { namespace: "default", name });
});

test("what belongs to nobody goes: endpoints without a pod, CiliumNodes without a Node", async () => {
  await using api = await setUp();
  const { client } = api;
  await client.create(resources.ciliumNodes, nodeOf("gone"));
  await client.create(resources.nodes, kubeNode("kept", "192.0.2.1"));
  await client.create(resources.ciliumNodes, nodeOf("kept"));
  await client.create(resources.ciliumEndpoints, endpoint("orphan", 300));
  await using _ = await atWork(client, base, { orphanSweepMs: 200 });
  await eventually(async () => assert.equal(await exists(client, resources.ciliumNodes, "gone"), false));
  await eventually(async () =>
    assert.equal(await exists(client, resources.ciliumEndpoints, "orphan", "default"), false),
  );
  assert.equal(await exists(client, resources.ciliumNodes, "kept"), true);
  await client.delete(resources.nodes, { name: "kept" });
});
