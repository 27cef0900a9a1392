// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseLabels } from "#model/labels.ts";
import { PolicyEngine } from "./engine.ts";
import type { NamedPort, ResolvedPolicy, Rule } from "./rule.ts";

const [tcp, client, old, fresh, other] = [6, 1000, 2000, 2000, 3000];
const http = (port: number): NamedPort[] => [{ name: "http", proto: tcp, port }];

function rule(direction: Rule["direction"], subject: string): Rule {
  const app = (values: string[]) => ({ requirements: [{ key: "k8s:app", operator: "In" as const, values }] });
  return {
    origin: { kind: "NetworkPolicy", namespace: "shop", name: direction, uid: "", index: 0 },
    subject: app([subject]),
    ...{ direction, tier: "normal", priority: 0, action: "allow", defaultDeny: true },
    peers: [{ kind: "selector", selector: app(["client", "web", "api"]) }],
    ports: [{ proto: tcp, first: 0, last: 0, name: "http" }],
  };
}

function start(): PolicyEngine {
  const engine = new PolicyEngine("default");
  for (const [id, app] of [
    [client, "client"],
    [old, "web"],
    [other, "api"],
  ] as const)
    engine.setIdentity({ id, labels: parseLabels([`k8s:app=${app}`]) });
  return engine;
}

/** Ports allowed to or from an identity. */
function ports(policy: ResolvedPolicy, identity: number): number[] {
  return policy.entries
    .filter((entry) => entry.identity === identity && entry.verdict === "allow" && entry.proto === tcp)
    .map(({ port }) => port);
}

test("out: a port's name is the number that the peer's pods give it, whichever identity they have", () => {
  const engine = start();
  engine.setPod("shop/web", { identity: old, ports: http(8080) });
  engine.setPod("shop/api", { identity: other, ports: http(9090) });
  engine.setPolicy("p", [rule("egress", "client")]);
  engine.setEndpoint({ id: 1, labels: parseLabels(["k8s:app=client"]), namedPorts: [] });
  const [policy] = engine.flush().policies;
  assert.deepEqual([ports(policy!, old), ports(policy!, other)], [[8080], [9090]]);
});

test("out: pods of one identity that number a name differently have all of their numbers, as long as they are there", () => {
  const engine = start();
  engine.setPod("shop/web-old", { identity: old, ports: http(8080) });
  engine.setPod("shop/web-new", { identity: fresh, ports: http(9000) });
  engine.setPolicy("p", [rule("egress", "client")]);
  engine.setEndpoint({ id: 1, labels: parseLabels(["k8s:app=client"]), namedPorts: [] });
  assert.deepEqual(ports(engine.flush().policies[0]!, old), [8080, 9000]);
  engine.setPod("shop/web-old", undefined);
  assert.deepEqual(ports(engine.flush().policies[0]!, old), [9000]);
});

test("in: each pod is judged by its own number, also beside another of its identity", () => {
  const engine = start();
  engine.setPolicy("p", [rule("ingress", "web")]);
  for (const [id, port] of [
    [1, 8080],
    [2, 9000],
  ] as const)
    engine.setEndpoint({ id, labels: parseLabels(["k8s:app=web"]), namedPorts: http(port) });
  const { policies, endpoints } = engine.flush();
  const portsOf = (endpoint: number) => {
    const row = endpoints.find(({ endpointId }) => endpointId === endpoint)!;
    return ports(policies.find(({ id }) => id === row.policyId)!, client);
  };
  assert.deepEqual([portsOf(1), portsOf(2)], [[8080], [9000]]);
});
