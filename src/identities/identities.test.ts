// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { createHealth } from "#lib/health.ts";
import { isBlockIdentity } from "#model/identity.ts";
import { type Address, type Prefix, parsePrefix } from "#model/ip.ts";
import { type Labels, labelText, parseLabels } from "#model/labels.ts";
import { Database } from "#store/table.ts";
import { allocateIdentity, type IdentityStore, localIdentity } from "./allocate.ts";
import { BlockIdentities } from "./blocks.ts";
import { CidrIdentities, cidrLabels } from "./cidr.ts";
import type { IpcacheEntry } from "./identity.ts";
import { bestClaim, startIpcacheController } from "./ipcache.ts";
import { labelFilter, usualLabels } from "./label-filter.ts";
import { securityLabels } from "./security-labels.ts";
import { blockTable, identityTable, ipcacheClaimTable, ipcacheTable } from "./table.ts";

const signal = new AbortController().signal;

function sharedStore(taken: Map<number, Labels>): IdentityStore {
  return {
    known: () => undefined,
    find: () => undefined,
    claim: (id, labels) => {
      const owner = taken.get(id);
      if (owner) return Promise.resolve(owner);
      taken.set(id, labels);
      return Promise.resolve("claimed");
    },
  };
}

test("two agents at once give one label set one number", async () => {
  const taken = new Map<number, Labels>();
  const labels = parseLabels(["k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop"]);
  const [a, b] = await Promise.all([
    allocateIdentity(sharedStore(taken), labels, { signal }),
    allocateIdentity(sharedStore(taken), parseLabels([...labels].map(([k, v]) => `${k}=${v}`)), { signal }),
  ]);
  assert.equal(a, b);
  assert.ok(a >= 256 && a <= 65535);
});

test("a number in use by other labels is passed over", async () => {
  const taken = new Map<number, Labels>();
  const labels = parseLabels(["k8s:app=web"]);
  const first = await allocateIdentity(sharedStore(taken), labels, { signal });
  taken.set(first, parseLabels(["k8s:app=other"]));
  const second = await allocateIdentity(sharedStore(taken), labels, { signal });
  assert.equal(second, first === 65535 ? 256 : first + 1);
});

test("a full range is an error that says what to do", async () => {
  const store: IdentityStore = {
    known: () => parseLabels(["k8s:x=y"]),
    find: () => undefined,
    claim: () => Promise.reject(new Error("never asked")),
  };
  await assert.rejects(allocateIdentity(store, parseLabels(["k8s:app=web"]), { signal }), {
    code: "E_IDENTITY_FULL",
  });
});

test("local identities are of scope 1 and step aside", () => {
  const id = localIdentity("10.0.0.0/8", () => false);
  assert.equal(id >>> 24, 1);
  assert.notEqual(
    localIdentity("10.0.0.0/8", (candidate) => candidate === id),
    id,
  );
});

test("a pod's labels carry namespace and service account but nothing volatile", () => {
  const labels = securityLabels({
    namespace: "shop",
    labels: { app: "web", "pod-template-hash": "5d4f" },
    namespaceLabels: { team: "a" },
    serviceAccount: "default",
    cluster: "default",
  });
  assert.equal(
    labelText(labels),
    "k8s:app=web,k8s:io.cilium.k8s.namespace.labels.team=a,k8s:io.cilium.k8s.policy.cluster=default," +
      "k8s:io.cilium.k8s.policy.serviceaccount=default,k8s:io.kubernetes.pod.namespace=shop",
  );
});

test("the ipcache holds the best claim, and the next one when it goes", () => {
  const db = new Database();
  const claims = ipcacheClaimTable(db);
  const ipcache = ipcacheTable(db);
  using _ = startIpcacheController(db, claims, ipcache);
  const prefix = parsePrefix("10.1.0.5/32");
  const cidr: IpcacheEntry = { prefix, identity: 0x01000001, source: "cidr" };
  const pod: IpcacheEntry = { prefix, identity: 300, tunnel: "172.30.0.11" as Address, source: "endpoint" };
  db.write((tx) => {
    tx.put(claims, cidr);
    tx.put(claims, pod);
  });
  assert.equal(ipcache.get(prefix)?.identity, 300);
  db.write((tx) => tx.delete(claims, `endpoint ${prefix}`));
  assert.equal(ipcache.get(prefix)?.identity, 0x01000001);
  db.write((tx) => tx.delete(claims, `cidr ${prefix}`));
  assert.equal(ipcache.size, 0);
});

test("what the node cannot do without has room in the ipcache when pods and CIDRs have filled theirs", () => {
  const db = new Database();
  const claims = ipcacheClaimTable(db);
  const ipcache = ipcacheTable(db);
  const health = createHealth();
  using _ = startIpcacheController(db, claims, ipcache, { room: 2, health });
  const claim = (last: number, source: string): IpcacheEntry => ({
    prefix: parsePrefix(`10.1.0.${last}/32`),
    identity: 300,
    source,
  });
  const held = () =>
    [...ipcache.all()]
      .map(({ prefix }) => prefix.slice(7, -3))
      .sort()
      .join();
  for (const last of [1, 2, 3]) db.write((tx) => tx.put(claims, claim(last, "endpoint")));
  db.write((tx) => tx.put(claims, claim(9, "node")));
  assert.equal(held(), "1,2,9");
  assert.match(health.rows()[0]?.message ?? "", /^1 address\(es\) .* 3 entries, room for 2$/);
  db.write((tx) => tx.delete(claims, "endpoint 10.1.0.1/32"));
  db.write((tx) => tx.delete(claims, "node 10.1.0.9/32"));
  assert.equal(held(), "2,3");
});

test("CIDR identities carry every prefix around them and go when nobody names them", () => {
  const db = new Database();
  const identities = identityTable(db);
  const reserved = identities.size;
  const claims = ipcacheClaimTable(db);
  const cidrs = new CidrIdentities({ db, identities, claims, dualStack: false });
  const outer = parsePrefix("10.0.0.0/8");
  const inner = parsePrefix("10.1.0.0/16");
  cidrs.require(new Set<Prefix>([outer, inner]));
  assert.equal(
    labelText(cidrLabels(inner, [outer, inner], false)),
    "cidr:10.0.0.0/8,cidr:10.1.0.0/16,reserved:world",
  );
  assert.equal(identities.size, reserved + 2);
  const before = claims.get(`cidr ${inner}`)?.identity;
  cidrs.require(new Set<Prefix>([inner]));
  assert.equal(claims.get(`cidr ${inner}`)?.identity, before);
  assert.equal(identities.size, reserved + 1);
  assert.equal(labelText(identities.get(String(before))!.labels), "cidr:10.1.0.0/16,reserved:world");
});

test("IPv4 has an ipcache entry of its own, which no IPv6 prefix around the mapped addresses takes in", () => {
  for (const dualStack of [true, false]) {
    const db = new Database();
    const claims = ipcacheClaimTable(db);
    const cidrs = new CidrIdentities({ db, identities: identityTable(db), claims, dualStack });
    cidrs.require(new Set<Prefix>([parsePrefix("::/0"), parsePrefix("0.0.0.0/0")]));
    const best = bestClaim(claims.by("prefix", parsePrefix("0.0.0.0/0")));
    assert.equal(best?.identity, dualStack ? 9 : 2);
  }
});

test("claims are complete only when every policy's prefixes are among them", () => {
  const db = new Database();
  const claims = ipcacheClaimTable(db);
  const cidrs = new CidrIdentities({ db, identities: identityTable(db), claims, dualStack: false });
  assert.equal(claims.isReady, false);
  cidrs.synced();
  assert.equal(claims.isReady, true);
});

test("blocks: identities beside those of who has the addresses, IPv4 never in a wide IPv6 block", () => {
  const db = new Database();
  const identities = identityTable(db);
  const blocks = blockTable(db);
  const own = new BlockIdentities({ db, identities, blocks });
  const rows = () => [...blocks.all()].map(({ prefix, identity }) => [prefix, isBlockIdentity(identity)]);
  own.require(new Set([parsePrefix("::/0"), parsePrefix("fd00::/8")]));
  assert.deepEqual(rows().sort(), [
    ["0.0.0.0/0", false],
    ["::/0", true],
    ["fd00::/8", true],
  ]);
  const inner = identities.get(String(blocks.get("fd00::/8")!.identity))!;
  assert.deepEqual([...inner.labels.keys()], ["block:::/0", "block:fd00::/8"]);
  own.require(new Set());
  assert.deepEqual(rows(), []);
  assert.equal(identities.get(String(inner.id)), undefined);
});

test("labels that have a number keep it, and the number they had is taken back first", async () => {
  const labels = parseLabels(["k8s:app=web"]);
  const claimed: number[] = [];
  const store = (known: ReadonlyMap<number, Labels>, found?: number): IdentityStore => ({
    known: (id) => known.get(id),
    find: () => found,
    claim: async (id) => {
      claimed.push(id);
      return "claimed";
    },
  });
  assert.equal(await allocateIdentity(store(new Map(), 777), labels, { signal, prefer: 778 }), 777);
  assert.equal(await allocateIdentity(store(new Map()), labels, { signal, prefer: 778 }), 778);
  const others = new Map([[778, parseLabels(["k8s:app=db"])]]);
  const id = await allocateIdentity(store(others), labels, { signal, prefer: 778 });
  assert.notEqual(id, 778);
  assert.deepEqual(claimed, [778, id]);
});

test("volatile labels are no part of identities, nor what the settings leave out; what Weft adds always is", () => {
  assert.equal(usualLabels("app"), true);
  assert.equal(usualLabels("pod-template-hash"), false);
  assert.equal(usualLabels("statefulset.kubernetes.io/pod-name"), false);
  const keeps = labelFilter({
    include: ["app.kubernetes.io/*", "team"],
    exclude: ["app.kubernetes.io/version"],
  });
  const kept = [
    "app.kubernetes.io/name",
    "team",
    "team2",
    "app.kubernetes.io/version",
    "appXkubernetes.io/a",
  ];
  assert.deepEqual(kept.filter(keeps), ["app.kubernetes.io/name", "team"]);
  assert.equal(keeps("io.kubernetes.pod.namespace"), true);
  assert.equal(keeps("io.cilium.k8s.namespace.labels.env"), true);
});
