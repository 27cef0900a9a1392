// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeClient } from "#k8s/client.ts";
import { createHealth } from "#lib/health.ts";
import { createLogger } from "#lib/log.ts";
import { Database } from "#store/table.ts";
import { policyLanguages } from "./languages.ts";
import { policyRow } from "./source.ts";
import { startPolicyStatus } from "./status.ts";
import { policyTable } from "./table.ts";

const log = createLogger("test", "silent");
const [networkPolicy, ciliumPolicy] = ["NetworkPolicy", "CiliumNetworkPolicy"].map((kind) =>
  policyLanguages.find((language) => language.kind === kind),
);

function object(name: string, spec: object, status?: object) {
  return { metadata: { name, namespace: "shop" }, spec, ...(status && { status }) };
}

test("each policy's object is told once whether it is in force", async () => {
  const db = new Database();
  const policies = policyTable(db);
  const sent: unknown[] = [];
  let arrived = () => {};
  const client = {
    patch: async (
      resource: { plural: string },
      ref: { name: string },
      { type, body }: { type: string; body: { apiVersion: string; kind: string; status: unknown } },
      { subresource, fieldManager, force }: { subresource?: string; fieldManager?: string; force?: boolean },
    ) => {
      assert.deepEqual([type, subresource, fieldManager, force], ["apply", "status", "weft-agent", true]);
      sent.push([resource.plural, ref.name, `${body.apiVersion} ${body.kind}`, body.status]);
      arrived();
      return {};
    },
  } as unknown as KubeClient;
  const resourceOf = (kind: string) =>
    policyLanguages.find((one) => one.kind === kind && one.conditions)?.resource;
  const deps = { client, policies, resourceOf, health: createHealth(), log, now: () => 0 };
  await using _status = startPolicyStatus(deps, AbortSignal.timeout(10_000));
  const selector = { endpointSelector: {} };
  const good = object("good", { ...selector, ingress: [{}] });
  const bad = object("bad", { ...selector, egress: [{ toFQDNs: [{ matchName: "example.org" }] }] });
  const first = new Promise<void>((resolve) => {
    arrived = () => sent.length === 2 && resolve();
  });
  db.write((tx) => {
    tx.put(policies, policyRow(networkPolicy!, object("plain", { podSelector: {} }), log));
    tx.put(policies, policyRow(ciliumPolicy!, good, log));
    tx.put(policies, policyRow(ciliumPolicy!, bad, log));
  });
  await first;
  const lastTransitionTime = "1970-01-01T00:00:00Z";
  const inForce = {
    type: "Valid",
    status: "True",
    reason: "InForce",
    message: "Policy is in force",
    lastTransitionTime,
  };
  const message =
    "CiliumNetworkPolicy shop/bad: spec.egress[0].toFQDNs: needs a proxy that reads DNS answers, which this version does not have";
  const refused = { type: "Valid", status: "False", reason: "NeedsDNSProxy", message, lastTransitionTime };
  const apiKind = "cilium.io/v2 CiliumNetworkPolicy";
  assert.deepEqual(sent, [
    ["ciliumnetworkpolicies", "good", apiKind, { conditions: [inForce] }],
    ["ciliumnetworkpolicies", "bad", apiKind, { conditions: [refused] }],
  ]);

  const mended = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  db.write((tx) => {
    tx.put(policies, policyRow(ciliumPolicy!, { ...good, status: { conditions: [inForce] } } as object, log));
    tx.put(
      policies,
      policyRow(ciliumPolicy!, object("bad", { ...selector, egress: [{}] }, { conditions: [refused] }), log),
    );
  });
  await mended;
  assert.deepEqual(sent.slice(2), [["ciliumnetworkpolicies", "bad", apiKind, { conditions: [inForce] }]]);
});
