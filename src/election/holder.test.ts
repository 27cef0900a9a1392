// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import type { KubeClient } from "#k8s/client.ts";
import { resources } from "#k8s/resource.ts";
import { eventually } from "#kit/eventually.ts";
import { startTestApi } from "#kit/test-api.ts";
import { createHealth } from "#lib/health.ts";
import { LeaseHolder } from "./holder.ts";
import type { LeaseObject } from "./lease.ts";

const namespace = "default";
const leaseMs = 1_000;
const names = Array.from({ length: 5 }, (_, i) => `test-l2-${i}`);

/** Who may act on what, by one clock for all; whoever begins while another's time is not over breaks the rule. */
function referee() {
  const untilMs = new Map<string, { readonly by: string; readonly ms: number }>();
  const broken: string[] = [];
  return {
    broken,
    held(by: string, name: string, ms: number | undefined) {
      const now = performance.now();
      const before = untilMs.get(name);
      if (before && before.by !== by && before.ms > now)
        broken.push(`${name}: ${by} while ${before.by} holds it`);
      if (ms === undefined) untilMs.delete(name);
      else untilMs.set(name, { by, ms });
    },
    holdersOf: () => names.map((name) => untilMs.get(name)?.by ?? "nobody"),
  };
}

function start(identity: string, client: KubeClient, rules: ReturnType<typeof referee>) {
  const stop = new AbortController();
  const held = new Set<string>();
  const health = createHealth();
  const holder = new LeaseHolder({
    client,
    namespace,
    label: ["weft.io/test", "true"],
    identity,
    leaseMs,
    part: "leases",
    signal: stop.signal,
    health,
    log: pino({ level: "silent" }),
    onHeld(name, ms) {
      rules.held(identity, name, ms);
      if (ms === undefined) held.delete(name);
      else held.add(name);
    },
    ended: async () => {},
  });
  return {
    holder,
    held,
    health,
    /** As a process that is killed: nothing is given up. */
    kill: () => stop.abort(),
    [Symbol.dispose]: () => stop.abort(),
  };
}

test("of several nodes one holds each lease, another only when its time is over; who comes back goes on; what is not wanted is free at once", async () => {
  await using api = await startTestApi();
  const { client } = api;
  const rules = referee();
  const leases = async () =>
    (await client.list<LeaseObject>(resources.leases, { namespace, labelSelector: "weft.io/test=true" }))
      .items;
  // One that somebody left without the label, held for long enough ago, is found and taken over.
  const foreign = {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { namespace, name: names[0]! },
  };
  await client.create(resources.leases, foreign);
  using one = start("n1", client, rules);
  using two = start("n2", client, rules);
  one.holder.want(new Set(names));
  two.holder.want(new Set(names));
  await eventually(() => assert.equal(one.held.size + two.held.size, names.length));
  assert.ok(one.held.size > 0 && two.held.size > 0, "one got them all");
  assert.equal((await leases()).length, names.length);

  const before = [...one.held];
  one.kill();
  {
    using again = start("n1", client, rules);
    again.holder.want(new Set(names));
    await again.holder.settled;
    await eventually(() => assert.equal(again.held.size + two.held.size, names.length));
    assert.ok(before.some((name) => again.held.has(name)));
    again.kill();
  }
  await eventually(() => assert.equal(two.held.size, names.length));
  await eventually(() => assert.deepEqual([...new Set(rules.holdersOf())], ["n2"]));

  using three = start("n3", client, rules);
  three.holder.want(new Set(names));
  const [first = "", ...rest] = names;
  two.holder.want(new Set(rest));
  await eventually(() => assert.deepEqual([...three.held], [first]));
  await eventually(() => assert.equal(two.held.size, rest.length));

  // Nobody wants them any more: nothing stays behind.
  three.holder.want(new Set());
  two.holder.want(new Set());
  await eventually(async () => assert.deepEqual(await leases(), []));
  assert.deepEqual(rules.broken, []);
  assert.match(two.health.rows()[0]?.message ?? "", /0 of 0/);
});

test("a lease that somebody takes away or deletes is lost at once, and had again when it is free", async () => {
  await using api = await startTestApi();
  const { client } = api;
  const rules = referee();
  using one = start("n1", client, rules);
  const name = names[0]!;
  one.holder.want(new Set([name]));
  await eventually(() => assert.ok(one.held.has(name)));
  const other = { spec: { holderIdentity: "somebody", leaseDurationSeconds: 1 } };
  await client.patch(resources.leases, { namespace, name }, { type: "merge", body: other });
  await eventually(() => assert.ok(!one.held.has(name)));
  await eventually(() => assert.ok(one.held.has(name)));
  let lost = false;
  const watching = setInterval(() => (lost ||= !one.held.has(name)), 1);
  await client.delete(resources.leases, { namespace, name });
  await eventually(() => assert.ok(lost && one.held.has(name)));
  clearInterval(watching);
});
