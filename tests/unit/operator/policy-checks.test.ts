// SPDX-License-Identifier: Apache-2.0
// What the operator says of egress and redirect policies, against an API server.
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { parse } from "yaml";
import { customResourceDefinitions } from "#api/crd/definitions.ts";
import { type KubeObject, type Resource, resources } from "#k8s/resource.ts";
import { eventually } from "#kit/eventually.ts";
import { startTestApi } from "#kit/test-api.ts";
import { createHealth } from "#lib/health.ts";
import { parseOperatorConfig } from "#operator/config.ts";
import { installDefinitions } from "#operator/crds.ts";
import { checkedEgressPolicy, checkedRedirectPolicy, checksOf } from "#operator/policy-checks.ts";
import { leaderWork } from "../../../src/main/operator-work.ts";

interface Served extends KubeObject {
  readonly status?: {
    readonly ok?: boolean;
    readonly conditions?: readonly { type: string; status: string; reason: string; message: string }[];
  };
}

const log = pino({ level: "silent" });
const egress = resources.ciliumEgressGatewayPolicies;
const redirect = resources.ciliumLocalRedirectPolicies;

const gatewayPolicy = (name: string, more = "") =>
  parse(`
apiVersion: cilium.io/v2
kind: CiliumEgressGatewayPolicy
metadata: {name: ${name}}
spec:
  selectors: [{podSelector: {}}]
  destinationCIDRs: [0.0.0.0/0]
  egressGateway: {nodeSelector: {matchLabels: {edge: "yes"}}${more}}
`) as KubeObject;

const redirectPolicy = (name: string, frontend: string) =>
  parse(`
apiVersion: cilium.io/v2
kind: CiliumLocalRedirectPolicy
metadata: {name: ${name}, namespace: default}
spec:
  redirectFrontend: ${frontend}
  redirectBackend: {localEndpointSelector: {}, toPorts: [{port: "53", protocol: UDP}]}
`) as KubeObject;

test("egress policies say whether they are valid and by which nodes, redirects whether they are; Events what is wrong", async () => {
  await using api = await startTestApi();
  const { client } = api;
  const signal = AbortSignal.timeout(60_000);
  await installDefinitions({ client, definitions: customResourceDefinitions, log, signal });
  const said = async (kind: Resource, name: string) => {
    const ref = { name, ...(kind === redirect && { namespace: "default" }) };
    const { status } = await client.get<Served>(kind, ref);
    const conditions = status?.conditions ?? [];
    return [
      ...conditions.map((one) => `${one.type} ${one.status} ${one.reason}: ${one.message}`),
      status?.ok,
    ];
  };
  const says = (kind: Resource, name: string, wanted: readonly unknown[]) =>
    eventually(async () => assert.deepEqual(await said(kind, name), wanted));
  const ready = (status: "True" | "False") => ({ conditions: [{ type: "Ready", status }] });
  const nodeStatus = (status: object) =>
    client.patch(
      resources.nodes,
      { name: "edge-1" },
      { type: "merge", body: { status } },
      { subresource: "status" },
    );
  await client.create(egress, gatewayPolicy("out"));
  await client.create(
    redirect,
    redirectPolicy("dns", "{serviceMatcher: {serviceName: dns, namespace: default}}"),
  );
  const stop = new AbortController();
  const config = parseOperatorConfig("{}", "test");
  const ended = leaderWork({ config, client, health: createHealth(), log }, stop.signal, () => {});
  const valid = "Valid True InForce: Policy is in force";
  const nobody = "no node fits: what its pods send to its destinations is dropped";
  await says(egress, "out", [valid, `weft.io/Gateways False NoNode: ${nobody}`, undefined]);
  await says(redirect, "dns", [valid, true]);
  const node = { apiVersion: "v1", kind: "Node", metadata: { name: "edge-1", labels: { edge: "yes" } } };
  await client.create(resources.nodes, node as KubeObject);
  await nodeStatus(ready("True"));
  await says(egress, "out", [valid, "weft.io/Gateways True Found: edge-1", undefined]);
  await nodeStatus(ready("False"));
  const sick = "edge-1: not ready, and no other node fits";
  await says(egress, "out", [valid, `weft.io/Gateways False NotReady: ${sick}`, undefined]);
  stop.abort();
  await ended;
  const events = { group: "events.k8s.io", version: "v1", plural: "events" };
  const told = async () => {
    const { items } = await client.list<KubeObject & { reason?: string; regarding?: { name?: string } }>(
      events,
    );
    return items.map(({ reason, regarding }) => `${regarding?.name} ${reason}`).sort();
  };
  await eventually(async () => assert.deepEqual(await told(), ["out NoNode", "out NotReady"]));
});

test("what agents cannot go by is malformed, by its field", () => {
  const said = (row: ReturnType<typeof checkedEgressPolicy>) =>
    checksOf(row, []).map(({ type, status, reason, message }) => `${type} ${status} ${reason}: ${message}`);
  const both = gatewayPolicy("broken", ", interface: eth0, egressIP: 192.0.2.1");
  assert.match(said(checkedEgressPolicy(both as never)).join(), /^Valid False Malformed: .*egressIP[^,]*$/);
  const foreign = redirectPolicy("foreign", "{serviceMatcher: {serviceName: dns, namespace: other}}");
  assert.match(said(checkedRedirectPolicy(foreign as never)).join(), /^Valid False Malformed: .*namespace/);
});
