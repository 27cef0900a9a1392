// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { localIdentity } from "#identities/allocate.ts";
import { blockLabels } from "#identities/blocks.ts";
import type { Identity } from "#identities/identity.ts";
import { identityTable } from "#identities/table.ts";
import { createHealth } from "#lib/health.ts";
import { createLogger } from "#lib/log.ts";
import { blockIdentityScope, ReservedIdentity } from "#model/identity.ts";
import { parseLabels } from "#model/labels.ts";
import { Database } from "#store/table.ts";
import { startPolicyController } from "./controller.ts";
import { policyLanguages } from "./languages.ts";
import type { RequiredPrefixes } from "./required-prefixes.ts";
import type { ResolvedPolicy } from "./rule.ts";
import { policyRow } from "./source.ts";
import * as tables from "./table.ts";
import { verdict } from "./verdict.ts";

const log = createLogger("test", "silent");
const networkPolicy = policyLanguages[0]!;

const blockId = (prefix: string) => localIdentity(prefix, () => false, blockIdentityScope);

function start(onlyFamily?: 4 | 6) {
  const db = new Database();
  const policies = tables.policyTable(db);
  const endpoints = db.table<tables.PolicyEndpoint>({
    name: "endpoints",
    key: (row) => String(row.id),
    columns: [],
  });
  const pods = db.table<tables.PolicyPeerPod>({
    name: "pods",
    key: (row) => String(row.identity),
    columns: [],
  });
  const identities = identityTable(db);
  const policyMaps = tables.policyMapTable(db);
  const endpointPolicies = tables.endpointPolicyTable(db);
  const policyRules = tables.policyRuleTable(db);
  const required: string[][] = [];
  const requirePrefixes = ({ blocks: prefixes }: RequiredPrefixes) => {
    required.push([...prefixes]);
    db.write((tx) => {
      for (const prefix of prefixes)
        tx.put(identities, {
          id: blockId(prefix),
          labels: blockLabels(prefix, prefixes),
        });
    });
  };
  const hosts = db.table<tables.PolicyEndpoint>({
    name: "hosts",
    key: (row) => String(row.id),
    columns: [],
  });
  const deps = {
    db,
    policies,
    endpoints,
    hosts,
    identities,
    pods,
    policyMaps,
    endpointPolicies,
    policyRules,
    requirePrefixes,
  };
  for (const table of [endpoints, hosts, pods, identities]) table.source("test").synced();
  const source = policies.source("test");
  const controller = startPolicyController(
    { ...deps, enforcement: "default", health: createHealth(), log, ...(onlyFamily && { onlyFamily }) },
    AbortSignal.timeout(10_000),
  );
  return { ...deps, source, required, [Symbol.asyncDispose]: () => controller[Symbol.asyncDispose]() };
}

/** The controller runs in the next turn of the event loop. */
const turn = async () => {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
};

function policyObject(name: string, spec: object) {
  return policyRow(networkPolicy, { metadata: { name, namespace: "shop" }, spec } as object, log);
}

function pod(id: number, app: string): tables.PolicyEndpoint {
  return {
    id,
    labels: parseLabels([`k8s:app=${app}`, "k8s:io.kubernetes.pod.namespace=shop"]),
    namedPorts: [],
  };
}

const identity = (id: number, app: string): Identity => ({ id, labels: pod(0, app).labels });

function policyOf(world: ReturnType<typeof start>, endpoint: number): ResolvedPolicy | undefined {
  return world.policyMaps.get(String(world.endpointPolicies.get(String(endpoint))?.policyId));
}

test("nothing is desired before all inputs are there", async () => {
  await using world = start();
  world.db.write((tx) => tx.put(world.endpoints, pod(1, "web")));
  await turn();
  assert.equal(world.endpointPolicies.size, 0);
  assert.ok(!world.policyMaps.isReady);
  world.source.synced();
  await turn();
  assert.equal(world.endpointPolicies.get("1")?.policyId, 0);
  assert.ok(world.policyMaps.isReady && world.endpointPolicies.isReady);
});

test("endpoints that the same policies select share a map; an edit keeps its id; a deletion opens them", async () => {
  await using world = start();
  const { db, policies, endpoints, identities, policyMaps, endpointPolicies, policyRules } = world;
  world.source.synced();
  db.write((tx) => {
    for (const [id, app] of [
      [1, "web"],
      [2, "web"],
      [3, "db"],
    ] as const)
      tx.put(endpoints, pod(id, app));
    for (const [id, app] of [
      [1000, "web"],
      [1001, "db"],
    ] as const)
      tx.put(identities, identity(id, app));
    tx.put(
      policies,
      policyObject("web", {
        podSelector: { matchLabels: { app: "web" } },
        ingress: [{ from: [{ podSelector: { matchLabels: { app: "db" } } }] }],
      }),
    );
  });
  await turn();
  const [one, two, three] = ["1", "2", "3"].map((key) => endpointPolicies.get(key)!);
  assert.equal(policyMaps.size, 1);
  assert.deepEqual([one!.policyId, one!.enforceIngress, one!.enforceEgress], [two!.policyId, true, false]);
  assert.equal(three!.policyId, 0);
  assert.deepEqual(one!.policies, ["NetworkPolicy shop/web"]);
  assert.equal(
    verdict(policyOf(world, 1)!, { direction: "ingress", identity: 1001, proto: 6, port: 80 }).verdict,
    "allow",
  );
  const names = [...policyRules.all()]
    .flatMap(({ origins }) => origins.map(({ kind, name }) => `${kind} ${name}`))
    .sort();
  assert.deepEqual(names, ["Implicit allow-localhost", "NetworkPolicy web", "NetworkPolicy web"]);

  db.write((tx) => tx.put(policies, policyObject("web", { podSelector: { matchLabels: { app: "web" } } })));
  await turn();
  const edited = endpointPolicies.get("1")!;
  assert.equal(edited.policyId, one!.policyId);
  assert.notEqual(edited.revision, one!.revision);
  assert.equal(
    verdict(policyOf(world, 1)!, { direction: "ingress", identity: 1001, proto: 6, port: 80 }).verdict,
    "deny",
  );

  db.write((tx) => tx.delete(policies, "NetworkPolicy shop/web"));
  await turn();
  assert.equal(endpointPolicies.get("1")!.policyId, 0);
  assert.equal(policyMaps.size, 0);
});

test("a new identity touches only the policies that mean it", async () => {
  await using world = start();
  const { db, policies, endpoints, identities, policyMaps } = world;
  world.source.synced();
  db.write((tx) => {
    tx.put(endpoints, pod(1, "web"));
    tx.put(endpoints, pod(2, "db"));
    const from = (app: string) => [{ from: [{ podSelector: { matchLabels: { app } } }] }];
    tx.put(
      policies,
      policyObject("web", { podSelector: { matchLabels: { app: "web" } }, ingress: from("client") }),
    );
    tx.put(
      policies,
      policyObject("db", { podSelector: { matchLabels: { app: "db" } }, ingress: from("web") }),
    );
  });
  await turn();
  const [web, dbPolicy] = [policyOf(world, 1)!, policyOf(world, 2)!];
  const changed = policyMaps.track();
  changed.take();
  db.write((tx) => tx.put(identities, identity(1005, "client")));
  await turn();
  assert.deepEqual([...changed.take().keys()], [String(web.id)]);
  assert.equal(policyOf(world, 2), dbPolicy);
  db.write((tx) => tx.delete(identities, "1005"));
  await turn();
  assert.equal(policyOf(world, 1)!.revision, web.revision, "as before it came");
});

test("prefixes are asked for before the rules are resolved, and taken back", async () => {
  await using world = start();
  const { db, policies, endpoints, required } = world;
  world.source.synced();
  db.write((tx) => {
    tx.put(endpoints, pod(1, "web"));
    const ipBlock = { cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] };
    tx.put(policies, policyObject("out", { podSelector: {}, ingress: [{ from: [{ ipBlock }] }] }));
  });
  await turn();
  assert.deepEqual(required, [["10.0.0.0/8", "10.1.0.0/16"]]);
  const policy = policyOf(world, 1)!;
  const answer = (prefix: string) =>
    verdict(policy, {
      direction: "ingress",
      identity: ReservedIdentity.world,
      block: blockId(prefix),
      proto: 6,
      port: 80,
    }).verdict;
  assert.deepEqual([answer("10.0.0.0/8"), answer("10.1.0.0/16")], ["allow", "deny"]);
  db.write((tx) => tx.delete(policies, "NetworkPolicy shop/out"));
  await turn();
  assert.deepEqual(required.at(-1), []);
});

test("a refused policy is a row that says why, and no rules", async () => {
  const row = policyObject("bad", { podSelector: {}, ingress: [{ ports: [{ port: 99999 }] }] });
  assert.deepEqual([row.rules, row.refused?.code], [[], "E_MANIFEST"]);
  assert.match(
    row.refused!.message,
    /^NetworkPolicy shop\/bad: spec\.ingress\[0\]\.ports\[0\]\.port: 99999 is not a port/,
  );
});

test("the world of a cluster of one family is not the other family's", async () => {
  await using world = start(4);
  world.source.synced();
  world.db.write((tx) => {
    tx.put(world.endpoints, pod(1, "web"));
    const egress = [{ to: [{ ipBlock: { cidr: "::/0" } }] }];
    tx.put(world.policies, policyObject("six", { podSelector: {}, policyTypes: ["Egress"], egress }));
  });
  await turn();
  const ofWorld = policyOf(world, 1)!.entries.filter((entry) => entry.identity === 2);
  assert.deepEqual(ofWorld, []);
});
