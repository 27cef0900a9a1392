// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeClock } from "#kit/clock.ts";
import { labelText, parseLabels } from "#model/labels.ts";
import { Database } from "#store/table.ts";
import { NodeIdentities } from "./nodes.ts";
import { identityTable } from "./table.ts";

const node = (zone: string, name: string, apiServer = false) => ({
  labels: parseLabels([`k8s:zone=${zone}`, `k8s:name=${name}`]),
  apiServer,
});

test("nodes share the reserved identities until policies tell them apart, and those no policy tells apart share theirs", async () => {
  const db = new Database();
  const identities = identityTable(db);
  const clock = fakeClock();
  using nodes = new NodeIdentities({ db, identities, clock });
  const all = [node("a", "n1"), node("a", "n2"), node("b", "n3"), node("b", "n4", true)];
  const reserved = identities.size;
  assert.deepEqual(nodes.assign(all, new Set()), [6, 6, 6, 7]);
  assert.equal(labelText(identities.get("7")!.labels), "reserved:kube-apiserver,reserved:remote-node");

  const [n1, n2, n3, n4] = nodes.assign(all, new Set(["k8s:zone"]));
  assert.equal(n1, n2);
  assert.equal(new Set([n1, n3, n4]).size, 3);
  assert.ok([n1, n3, n4].every((id) => id! >>> 24 === 2));
  assert.equal(labelText(identities.get(String(n1))!.labels), "k8s:zone=a,reserved:remote-node");
  assert.equal(
    labelText(identities.get(String(n4))!.labels),
    "k8s:zone=b,reserved:kube-apiserver,reserved:remote-node",
  );
  assert.deepEqual(nodes.assign(all, new Set(["k8s:zone"])), [n1, n2, n3, n4]);
  assert.deepEqual(nodes.assign(all, new Set(["k8s:rack"])), [6, 6, 6, 7], "no node has the label");

  assert.equal(identities.size, reserved + 3, "what carries them may be on its way");
  await clock.advance(5000);
  assert.equal(identities.size, reserved);
});

test("an identity taken up again is not taken away", async () => {
  const db = new Database();
  const identities = identityTable(db);
  const clock = fakeClock();
  using nodes = new NodeIdentities({ db, identities, clock });
  const keys = new Set(["k8s:zone"]);
  const [id] = nodes.assign([node("a", "n1")], keys);
  nodes.assign([], keys);
  assert.deepEqual(nodes.assign([node("a", "n9")], keys), [id]);
  await clock.advance(60_000);
  assert.ok(identities.get(String(id)));
});

test("the host is where an API server answers, or not", () => {
  const db = new Database();
  const identities = identityTable(db);
  using nodes = new NodeIdentities({ db, identities });
  const hostLabels = () => labelText(identities.get("1")!.labels);
  nodes.setHost(node("a", "n1", true), new Set());
  assert.equal(hostLabels(), "reserved:host,reserved:kube-apiserver");
  nodes.setHost(node("a", "n1"), new Set(["k8s:zone"]));
  assert.equal(hostLabels(), "k8s:zone=a,reserved:host");
  nodes.setHost(node("a", "n1"), new Set());
  assert.equal(hostLabels(), "reserved:host");
});
