// SPDX-License-Identifier: Apache-2.0
// What agents say of policies and what the operator makes of it, against an API server: the lab's own, or a real one (`WEFT_TEST_KUBECONFIG`).
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { customResourceDefinitions } from "#api/crd/definitions.ts";
import type { KubeClient } from "#k8s/client.ts";
import { isConflict, isNotFound } from "#k8s/errors.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { eventually } from "#kit/eventually.ts";
import { startTestApi } from "#kit/test-api.ts";
import { type Clock, systemClock } from "#lib/clock.ts";
import { createHealth } from "#lib/health.ts";
import { installDefinitions } from "#operator/crds.ts";
import { startPolicyConditions } from "#operator/policy-status.ts";
import type { NodePolicyStatusObject } from "#policy/node-status.ts";
import { endpointPolicyTable, policyCostTable, policyMapTable, policyRefusalTable } from "#policy/table.ts";
import { tellCondition } from "#policy/tell-condition.ts";
import { startNodePolicyStatus, statusPace } from "#policy/tell-node-status.ts";
import { Database } from "#store/table.ts";

const log = pino({ level: "silent" });
/** Waits are a fiftieth of what they are. */
const hasty: Clock = { now: systemClock.now, after: (ms, callback) => systemClock.after(ms / 50, callback) };

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionTime: string;
}
type WithStatus = KubeObject & { readonly status?: { readonly conditions?: readonly Condition[] } };

/** One node's agent, as far as it speaks of policies. */
function startNode(client: KubeClient, name: string, signal: AbortSignal) {
  const db = new Database();
  const tables = {
    costs: policyCostTable(db),
    refusals: policyRefusalTable(db),
    endpointPolicies: endpointPolicyTable(db),
    policyMaps: policyMapTable(db),
  };
  tables.endpointPolicies.source("test").synced();
  tables.policyMaps.source("test").synced();
  const pace = statusPace(() => [{ name: "n1" }, { name: "n2" }], name);
  const health = createHealth();
  const job = startNodePolicyStatus(
    { client, ...tables, node: () => ({ name }), pace, health, log, clock: hasty },
    signal,
  );
  return { db, ...tables, [Symbol.asyncDispose]: () => job[Symbol.asyncDispose]() };
}

async function setUp(signal: AbortSignal) {
  const api = await startTestApi();
  const { client } = api;
  await installDefinitions({ client, definitions: customResourceDefinitions, log, signal });
  for (const { metadata } of (await client.list(resources.nodePolicyStatuses)).items)
    await client.delete(resources.nodePolicyStatuses, { name: metadata!.name! });
  return api;
}

async function createPolicy(client: KubeClient, name: string): Promise<void> {
  const object = {
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    metadata: { namespace: "default", name },
    spec: { endpointSelector: {}, ingress: [{}] },
  };
  try {
    await client.create<KubeObject>(resources.ciliumNetworkPolicies, object);
  } catch (thrown) {
    if (!isConflict(thrown)) throw thrown;
  }
}

test("a policy's status says what it costs on which nodes, who refuses it, and that it is mended", async () => {
  const stop = new AbortController();
  await using stack = new AsyncDisposableStack();
  const { client } = stack.use(await setUp(stop.signal));
  stack.defer(() => stop.abort());
  await createPolicy(client, "web");
  await createPolicy(client, "idle");
  stack.use(
    startPolicyConditions({
      ...{ client, db: new Database(), health: createHealth(), log, signal: stop.signal },
      clock: hasty,
    }),
  );
  const [n1, n2] = ["n1", "n2"].map((name) => stack.use(startNode(client, name, stop.signal)));
  const policy = "CiliumNetworkPolicy default/web";
  const select = (node: typeof n1, entries: number) =>
    node!.db.write((tx) => {
      tx.put(node!.costs, { policy, entries, maps: 1 });
      tx.put(node!.endpointPolicies, {
        ...{ endpointId: 1, policyId: 7, revision: 1, enforceIngress: true, enforceEgress: false },
        policies: [policy],
      });
    });
  const conditions = async (name: string) => {
    const ref = { namespace: "default", name };
    const { status } = await client.get<WithStatus>(resources.ciliumNetworkPolicies, ref);
    return status?.conditions ?? [];
  };
  const enforced = async (name: string, want: (condition: Condition) => boolean) =>
    eventually(async () => {
      const found = (await conditions(name)).find(({ type }) => type === "weft.io/Enforced");
      assert.ok(found && want(found), JSON.stringify(found));
      return found;
    });

  select(n1, 20);
  select(n2, 1234);
  const message = "selects 2 endpoints on 2 nodes, takes part in 1200 map entries (n2 1200, n1 20)";
  const first = await enforced("web", (one) => one.message === message);
  assert.deepEqual([first.status, first.reason], ["True", "InForce"]);

  await tellCondition(
    client,
    {
      resource: resources.ciliumNetworkPolicies,
      kind: "CiliumNetworkPolicy",
      namespace: "default",
      name: "web",
    },
    { type: "Valid", status: "True", reason: "InForce", message: "Policy is in force" },
    { manager: "weft-agent", sinceMs: 0, signal: stop.signal },
  );
  n1!.db.write((tx) => tx.put(n1!.refusals, { policy, count: 9, limit: 5, message: "9 of 5 entries" }));
  const refused = await enforced("web", ({ status }) => status === "False");
  assert.equal(refused.reason, "TooLarge");
  assert.match(
    refused.message,
    /^as it was last written it is not in force on node n1: 9 of 5 entries; selects/,
  );
  const types = (await conditions("web")).map(({ type }) => type).sort();
  assert.deepEqual(types, ["Valid", "weft.io/Enforced"]);

  n1!.db.write((tx) => tx.delete(n1!.refusals, policy));
  const mended = await enforced("web", ({ status }) => status === "True");
  assert.equal(mended.message, message);

  const idle = await enforced("idle", ({ status }) => status === "True");
  assert.equal(idle.reason, "SelectsNothing");

  const own = await client.get<NodePolicyStatusObject>(resources.nodePolicyStatuses, { name: "n2" });
  assert.deepEqual(own.policies, [{ policy, selects: 1, entries: 1200 }]);
});

test("an agent that finds no kind to write to waits for it", async () => {
  const stop = new AbortController();
  await using stack = new AsyncDisposableStack();
  const api = stack.use(await startTestApi());
  stack.defer(() => stop.abort());
  const tries: string[] = [];
  const client = {
    ...api.client,
    patch: async () => {
      tries.push("patch");
      throw await missing(api.client);
    },
    create: async () => {
      tries.push("create");
      throw await missing(api.client);
    },
  } as unknown as KubeClient;
  stack.use(startNode(client, "n1", stop.signal));
  await eventually(() => assert.deepEqual(tries.slice(0, 2), ["patch", "create"]));
});

/** What an API server says of a kind it does not know. */
async function missing(client: KubeClient): Promise<unknown> {
  try {
    await client.get({ group: "nobody.weft.io", version: "v1", plural: "things" }, { name: "one" });
  } catch (thrown) {
    assert.ok(isNotFound(thrown));
    return thrown;
  }
  throw new Error("there is no such kind");
}
