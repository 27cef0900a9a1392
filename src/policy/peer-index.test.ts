// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePrefix } from "#model/ip.ts";
import { parseLabels } from "#model/labels.ts";
import { entities, peerMatches, peerText } from "./peer.ts";
import { IdentityIndex } from "./peer-index.ts";
import type { Peer, Requirement } from "./rule.ts";

const identities = [
  "reserved:host",
  "reserved:world",
  "reserved:world-ipv4",
  "reserved:world-ipv6",
  "reserved:remote-node k8s:zone=a",
  "reserved:kube-apiserver",
  "cidr:10.0.0.0/8 reserved:world reserved:world-ipv4",
  "cidr:10.0.0.0/8 cidr:10.1.0.0/16 reserved:world reserved:world-ipv4",
  "block:10.0.0.0/8",
  "k8s:app=web k8s:io.kubernetes.pod.namespace=shop",
  "k8s:app=db k8s:world=yes k8s:io.kubernetes.pod.namespace=shop",
].map((text, index) => ({ id: index + 1, labels: parseLabels(text.split(" ")) }));

const keys = [
  "reserved:world",
  "any:world",
  "reserved:world-ipv4",
  "any:world-ipv4",
  "any:app",
  "k8s:zone",
  "reserved:host",
];
const requirements: Requirement[] = keys.flatMap((key) => [
  { key, operator: "In", values: [""] },
  { key, operator: "In", values: ["web", "a"] },
  { key, operator: "NotIn", values: ["web", ""] },
  { key, operator: "Exists", values: [] },
  { key, operator: "DoesNotExist", values: [] },
]);
const [ten, tenOne, everything] = ["10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0"].map(parsePrefix);
const peers: Peer[] = [
  ...requirements.map((one): Peer => ({ kind: "selector", selector: { requirements: [one] } })),
  ...entities.map((entity): Peer => ({ kind: "entity", entity })),
  ...(["cidr", "block"] as const).flatMap((kind): Peer[] => [
    { kind, prefix: ten!, except: [] },
    { kind, prefix: ten!, except: [tenOne!] },
    { kind, prefix: everything!, except: [] },
  ]),
];

test("the index finds whom a peer means, whichever of the two came first", () => {
  const meant = (peer: Peer) =>
    identities.filter(({ labels }) => peerMatches(peer, labels)).map(({ id }) => id);
  const before = new IdentityIndex();
  for (const identity of identities) before.put(identity);
  const after = new IdentityIndex();
  for (const peer of peers) after.matching(peer);
  for (const identity of identities) after.put(identity);
  for (const peer of peers)
    for (const index of [before, after])
      assert.deepEqual(
        [...index.matching(peer)].sort((a, b) => a - b),
        meant(peer),
        peerText(peer),
      );
  for (const { id } of identities) after.remove(id);
  for (const peer of peers) assert.equal(after.matching(peer).size, 0, peerText(peer));
});
