// SPDX-License-Identifier: Apache-2.0
// What the operator says of CiliumL2AnnouncementPolicies, against an API server.
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { customResourceDefinitions } from "#api/crd/definitions.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { eventually } from "#kit/eventually.ts";
import { startTestApi } from "#kit/test-api.ts";
import { createHealth } from "#lib/health.ts";
import { parseOperatorConfig } from "#operator/config.ts";
import { installDefinitions } from "#operator/crds.ts";
import { leaderWork } from "../../../src/main/operator-work.ts";

interface Served extends KubeObject {
  readonly status?: { readonly conditions?: readonly { status: string; reason: string; message: string }[] };
}

const log = pino({ level: "silent" });
const kind = resources.ciliumL2AnnouncementPolicies;

test("a policy's status says whether agents go by it, and an Event when they do not", async () => {
  await using api = await startTestApi();
  const { client } = api;
  const signal = AbortSignal.timeout(60_000);
  await installDefinitions({ client, definitions: customResourceDefinitions, log, signal });
  const add = (name: string, spec: object) =>
    client.create(kind, {
      apiVersion: "cilium.io/v2alpha1",
      kind: "CiliumL2AnnouncementPolicy",
      metadata: { name },
      spec,
    } as KubeObject);
  const said = async (name: string) => {
    const { status } = await client.get<Served>(kind, { name });
    const [first] = status?.conditions ?? [];
    return first && `${first.status} ${first.reason}: ${first.message}`;
  };
  await add("good", { loadBalancerIPs: true });
  await add("broken", { loadBalancerIPs: true, interfaces: ["eth0", "eth["] });
  await add("empty", {});
  for (const enabled of [true, false]) {
    const stop = new AbortController();
    const config = parseOperatorConfig(`l2Announcements: {enabled: ${enabled}}`, "test");
    const ended = leaderWork({ config, client, health: createHealth(), log }, stop.signal, () => {});
    const good = enabled ? /^True InForce/ : /^False Disabled: .*config\.l2Announcements\.enabled/;
    await eventually(async () => assert.match((await said("good")) ?? "", good));
    await eventually(async () =>
      assert.match((await said("broken")) ?? "", /^False Malformed: .*interfaces\[1\]/),
    );
    if (enabled) await eventually(async () => assert.match((await said("empty")) ?? "", /^True .*neither/));
    stop.abort();
    await ended;
  }
  const events = { group: "events.k8s.io", version: "v1", plural: "events" };
  const { items } = await client.list<KubeObject & { reason?: string; regarding?: { name?: string } }>(
    events,
  );
  const told = items.map(({ reason, regarding }) => `${regarding?.name} ${reason}`);
  assert.equal(told.filter((one) => one === "broken Malformed").length, 1, "told once");
  assert.ok(told.includes("good Disabled"));
});
