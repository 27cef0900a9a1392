// SPDX-License-Identifier: Apache-2.0
// LB-IPAM against an API server: the lab's own, or a real one (`WEFT_TEST_KUBECONFIG`).
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { customResourceDefinitions } from "#api/crd/definitions.ts";
import type { KubeClient } from "#k8s/client.ts";
import { isNotFound } from "#k8s/errors.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { eventually } from "#kit/eventually.ts";
import { startTestApi } from "#kit/test-api.ts";
import { createHealth } from "#lib/health.ts";
import { type OperatorConfig, parseOperatorConfig } from "#operator/config.ts";
import { installDefinitions } from "#operator/crds.ts";
import type { LbIpam } from "#operator/lb-ipam.ts";
import { operatorMetrics } from "#operator/metrics.ts";
import { leaderWork } from "../../../src/main/operator-work.ts";

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionTime: string;
}
interface Served extends KubeObject {
  readonly status?: {
    readonly conditions?: readonly Condition[];
    readonly loadBalancer?: {
      readonly ingress?: readonly { readonly ip?: string; readonly hostname?: string }[];
    };
  };
}

const config = parseOperatorConfig("", "test");
const log = pino({ level: "silent" });
const poolKind = resources.ciliumLoadBalancerIpPools;

async function atWork(client: KubeClient, settings: OperatorConfig = config) {
  const stop = new AbortController();
  const health = createHealth();
  const ready = Promise.withResolvers<void>();
  const state = { leads: true, lbIpam: undefined as LbIpam | undefined };
  const registry = operatorMetrics(health, state);
  const ended = leaderWork({ config: settings, client, health, log, state }, stop.signal, ready.resolve);
  await Promise.race([ready.promise, ended]);
  return {
    health,
    /** Lines of LB-IPAM's metrics. */
    async metrics() {
      const text = await registry.metrics();
      return text.split("\n").flatMap((line) => /^cilium_operator_lbipam_(.*)$/.exec(line)?.[1] ?? []);
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await ended;
    },
  };
}

/** An API server with the kinds, and a namespace for this test whose end takes its Services away. */
async function setUp(name: string) {
  await using stack = new AsyncDisposableStack();
  const { client } = stack.use(await startTestApi());
  const signal = AbortSignal.timeout(60_000);
  await installDefinitions({ client, definitions: customResourceDefinitions, log, signal });
  const namespace = `lb-ipam-${name}`;
  await client.create(resources.namespaces, {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: namespace },
  });
  const pools = new Set<string>();
  stack.defer(async () => {
    for (const one of pools) await client.delete(poolKind, { name: one }).catch(ignoreGone);
    await client.delete(resources.namespaces, { name: namespace });
  });
  const kept = stack.move();
  const service = (at: string) => client.get<Served>(resources.services, { namespace, name: at });
  return {
    client,
    service,
    pool: (at: string) => client.get<Served>(poolKind, { name: at }),
    addresses: async (at: string) => ingressOf(await service(at)),
    satisfied: async (at: string) => satisfied(await service(at)),
    async addPool(at: string, spec: object) {
      pools.add(at);
      const metadata = { name: at };
      await client.create(poolKind, {
        apiVersion: "cilium.io/v2",
        kind: "CiliumLoadBalancerIPPool",
        metadata,
        spec,
      } as KubeObject);
    },
    async addService(at: string, spec: object = {}, annotations: Record<string, string> = {}) {
      const object = {
        apiVersion: "v1",
        kind: "Service",
        metadata: { namespace, name: at, annotations },
        spec: { type: "LoadBalancer", ports: [{ port: 80 }], selector: { app: at }, ...spec },
      };
      await client.create(resources.services, object as KubeObject);
    },
    patch: (at: string, body: object, subresource?: string) =>
      client.patch(
        resources.services,
        { namespace, name: at },
        { type: "merge", body },
        subresource === undefined ? {} : { subresource },
      ),
    remove: (at: string) => client.delete(resources.services, { namespace, name: at }),
    events: async () => {
      const kind = { group: "events.k8s.io", version: "v1", plural: "events" };
      const { items } = await client.list<KubeObject & { reason?: string; regarding?: { name?: string } }>(
        kind,
        {},
      );
      return items.map(({ reason, regarding }) => `${regarding?.name} ${reason}`);
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function ignoreGone(thrown: unknown): void {
  if (!isNotFound(thrown)) throw thrown;
}

function ingressOf({ status }: Served): string {
  return (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip ?? hostname).join();
}

function satisfied({ status }: Served): string | undefined {
  const found = status?.conditions?.find(({ type }) => type === "cilium.io/IPAMRequestSatisfied");
  return found && `${found.status} ${found.reason}`;
}

function counts({ status }: Served): string {
  const of = (type: string) => status?.conditions?.find((one) => one.type === `cilium.io/${type}`)?.message;
  return [of("IPsTotal"), of("IPsAvailable"), of("IPsUsed")].join();
}

test("services get addresses, keep them over a restart that writes nothing, and give them back", async () => {
  await using world = await setUp("life");
  const { addresses, satisfied: said, pool, service, addPool, addService } = world;
  const other = {
    type: "example.org/Other",
    status: "True",
    reason: "Mine",
    message: "",
    lastTransitionTime: "2026-01-01T00:00:00Z",
  };
  {
    await using _ = await atWork(world.client);
    await addService("before");
    await world.patch("before", { status: { conditions: [other] } }, "status");
    await addPool("a", { blocks: [{ cidr: "192.0.2.0/30" }], allowFirstLastIPs: "No" });
    await eventually(async () => assert.equal(await addresses("before"), "192.0.2.1"));
    assert.equal(await said("before"), "True satisfied");
    assert.equal((await service("before")).status?.conditions?.length, 2, "another's condition stays");
    await addService("second");
    await addService("third");
    await eventually(async () => assert.equal(await said("third"), "False out_of_ips"));
    assert.equal(await addresses("second"), "192.0.2.2");
    await eventually(async () => assert.equal(counts(await pool("a")), "2,0,2"));
    await eventually(async () =>
      assert.ok((await world.events()).includes("third LoadBalancerIPsExhausted")),
    );
  }
  const versions = async () =>
    JSON.stringify([
      await service("before"),
      await service("second"),
      await service("third"),
      await pool("a"),
    ]);
  const before = await versions();
  // Of two that wait the older goes first; ages are in whole seconds, within one names decide.
  await addService("waits");
  {
    await using working = await atWork(world.client);
    await eventually(async () => assert.equal(await said("waits"), "False out_of_ips"));
    assert.equal(await versions(), before, "an operator that came back wrote what was right");
    const state = working.health.rows().find(({ name }) => name === "lb-ipam/state");
    assert.match(state?.message ?? "", /2 service\(s\) without an address/);
    assert.deepEqual(await working.metrics(), [
      "conflicting_pools 0",
      "services_matching 4",
      "services_unsatisfied 2",
      'ips_available{pool="a"} 0',
      'ips_used{pool="a"} 2',
    ]);
    await world.remove("before");
    await eventually(async () => assert.equal(await addresses("third"), "192.0.2.1"));
    await world.patch("second", { spec: { type: "ClusterIP" } });
    await eventually(async () => assert.equal(await said("second"), undefined));
    assert.equal(await addresses("second"), "");
    await eventually(async () => assert.equal(await addresses("waits"), "192.0.2.2"));
    await eventually(async () => assert.equal(counts(await pool("a")), "2,0,2"));
    await world.client.delete(poolKind, { name: "a" });
    await eventually(async () => assert.equal(await said("waits"), "False no_pool"));
    assert.equal(await addresses("waits"), "");
  }
});

test("requested and shared addresses, classes, and what somebody else gave", async () => {
  await using world = await setUp("wishes");
  const { addresses, satisfied: said, addPool, addService } = world;
  await addService("cloud");
  await world.patch(
    "cloud",
    { status: { loadBalancer: { ingress: [{ hostname: "lb.example.org" }] } } },
    "status",
  );
  await addService("metal");
  await world.patch("metal", { status: { loadBalancer: { ingress: [{ ip: "198.51.100.7" }] } } }, "status");
  await addService("adopted");
  await world.patch("adopted", { status: { loadBalancer: { ingress: [{ ip: "192.0.2.9" }] } } }, "status");
  await using _ = await atWork(world.client);
  await addPool("a", { blocks: [{ cidr: "192.0.2.0/24" }] });
  await addService("asks", {}, { "lbipam.cilium.io/ips": "192.0.2.50,192.0.2.9" });
  await addService("legacy", { loadBalancerIP: "192.0.2.51" });
  const share = { "lbipam.cilium.io/sharing-key": "web" };
  await addService("shared-a", { ports: [{ port: 80 }] }, { ...share, "lbipam.cilium.io/ips": "192.0.2.60" });
  await eventually(async () => assert.equal(await addresses("shared-a"), "192.0.2.60"));
  await addService("shared-b", { ports: [{ port: 443 }] }, share);
  await addService("l2", { loadBalancerClass: "io.cilium/l2-announcer" });
  await addService("theirs", { loadBalancerClass: "example.org/other" });
  await eventually(async () => assert.equal(await said("adopted"), "True satisfied"));
  await eventually(async () => assert.equal(await addresses("asks"), "192.0.2.50"));
  assert.equal(await said("asks"), "False already_allocated");
  await eventually(async () => assert.equal(await addresses("legacy"), "192.0.2.51"));
  await eventually(async () => assert.equal(await addresses("shared-b"), "192.0.2.60"));
  await eventually(async () => assert.equal(await addresses("l2"), "192.0.2.0"));
  assert.equal(await addresses("adopted"), "192.0.2.9");
  assert.deepEqual([await addresses("cloud"), await said("cloud")], ["lb.example.org", undefined]);
  assert.deepEqual([await addresses("metal"), await said("metal")], ["198.51.100.7", undefined]);
  assert.deepEqual([await addresses("theirs"), await said("theirs")], ["", undefined]);
  // Somebody overwrites a status: it is put right.
  await world.patch("legacy", { status: { loadBalancer: { ingress: [{ ip: "192.0.2.200" }] } } }, "status");
  await eventually(async () => assert.equal(await addresses("legacy"), "192.0.2.51"));
});

test("pools that overlap: the older works, the younger says why it does not, until it is edited", async () => {
  await using world = await setUp("conflict");
  const { pool, addPool, addService, addresses } = world;
  const conflict = async (at: string) =>
    (await pool(at)).status?.conditions?.find(({ type }) => type === "cilium.io/PoolConflict");
  await using _ = await atWork(world.client);
  await addPool("old", { blocks: [{ cidr: "192.0.2.0/28" }] });
  await eventually(async () => assert.equal((await conflict("old"))?.status, "False"));
  // Ages are in whole seconds; within one, names decide.
  await addPool("young", { blocks: [{ start: "192.0.2.8", stop: "192.0.2.40" }] });
  await eventually(async () => assert.equal((await conflict("young"))?.status, "True"));
  assert.equal((await conflict("young"))?.reason, "cidr_overlap");
  await eventually(async () => assert.ok((await world.events()).includes("young PoolConflict")));
  await addService("late", {}, { "lbipam.cilium.io/ips": "192.0.2.40" });
  await addService("x");
  await eventually(async () => assert.equal(await addresses("x"), "192.0.2.0"));
  await eventually(async () => assert.equal(await world.satisfied("late"), "False no_pool"));
  const body = { spec: { blocks: [{ start: "192.0.2.16", stop: "192.0.2.40" }] } };
  await world.client.patch(poolKind, { name: "young" }, { type: "merge", body });
  await eventually(async () => assert.equal(await addresses("late"), "192.0.2.40"));
  await eventually(async () => assert.equal((await conflict("young"))?.status, "False"));
});

test("no pool, and switched off: nothing is written", async () => {
  await using world = await setUp("off");
  await world.addService("x");
  const before = JSON.stringify(await world.service("x"));
  {
    await using _ = await atWork(world.client);
  }
  await world.addPool("a", { blocks: [{ cidr: "192.0.2.0/28" }] });
  {
    await using working = await atWork(world.client, {
      ...config,
      lbIpam: { enabled: false, requireClass: false },
    });
    assert.ok(!working.health.rows().some(({ name }) => name.startsWith("lb-ipam")));
    assert.deepEqual(await working.metrics(), []);
  }
  {
    await using _ = await atWork(world.client, { ...config, lbIpam: { enabled: true, requireClass: true } });
    await world.addService("l2", { loadBalancerClass: "io.cilium/l2-announcer" });
    await eventually(async () => assert.equal(await world.addresses("l2"), "192.0.2.0"));
  }
  assert.equal(JSON.stringify(await world.service("x")), before);
});
