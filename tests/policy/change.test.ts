// SPDX-License-Identifier: Apache-2.0
/** What `weft explain` says would allow a connection allows it, and changes no other verdict. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "yaml";
import fc from "#kit/property.ts";
import { type PortQuestion, parsePort } from "#model/port.ts";
import { loadCluster, type OfflineCluster, withPolicies } from "#policy/offline/cluster.ts";
import type { End } from "#policy/offline/end.ts";
import { type Change, smallestChange } from "#policy/offline/fix.ts";
import { createJudge, type Judgement } from "#policy/offline/judge.ts";
import { policyKey } from "#policy/policy-key.ts";
import { protocolNumber } from "./compiled.ts";
import { attemptIn, attemptShapes, clusters, outside } from "./generate-cluster.ts";
import { policies } from "./generate-policies.ts";
import { endOf, objectsOf, offlineSettings } from "./offline-objects.ts";

/** As text, so that what is printed is what is tried. */
function applied(cluster: OfflineCluster, changes: readonly Change[]): OfflineCluster {
  const of = (action: Change["action"]) => changes.filter((one) => one.action === action);
  const keyOf = ({ object: { kind, metadata } }: Change) =>
    policyKey({ kind, namespace: metadata.namespace ?? "", name: metadata.name });
  const put = of("apply").map(({ yaml }) => ({ object: parse(yaml) as Change["object"] }));
  return withPolicies(cluster, { put, remove: of("delete").map(keyOf) });
}

/** Policies can't tell them apart. */
function isAlike(a: End, b: End): boolean {
  const text = (end: End) =>
    end.kind === "pod"
      ? JSON.stringify([end.pod.namespace, Object.entries(end.pod.own).sort()])
      : JSON.stringify(end.kind === "address" ? end.address : end);
  return text(a) === text(b);
}

/** It says itself that it does more: the language has no words for less. */
function saysMore(changes: readonly Change[]): boolean {
  return changes.some(({ why }) => /anybody else|for all peers|on every port|for all it is about/.test(why));
}

const kinds = ["NetworkPolicy", "Cilium", "ClusterNetworkPolicy"] as const;

test("the change told for a denial allows just that", (t) => {
  const counts = { denied: 0, exact: 0, wider: 0, none: 0 };
  const world = fc.noShrink(
    fc.tuple(clusters, policies([...kinds]), fc.array(attemptShapes, { minLength: 30, maxLength: 30 })),
  );
  const property = fc.property(world, ([all, manifests, shapes]) => {
    const cluster = loadCluster(objectsOf(all, manifests), offlineSettings(all));
    const judge = createJudge(cluster);
    const questions = shapes.flatMap((shape): [End, End, PortQuestion][] => {
      const attempt = attemptIn(all, { ...shape, v6: false });
      if (!attempt) return [];
      const port = { port: attempt.port, proto: protocolNumber(attempt) };
      return [[endOf(judge, attempt.from), endOf(judge, attempt.to), port]];
    });
    const paths = questions.map(([from, to, port]) => judge.judge(from, to, port));
    for (const denied of paths.filter(({ verdict }) => verdict === "deny").slice(0, 2)) {
      counts.denied++;
      const changes = smallestChange(judge, denied);
      if (changes.length === 0) {
        counts.none++;
        continue;
      }
      const after = createJudge(applied(cluster, changes));
      const told = () =>
        `${JSON.stringify([denied.from, denied.to, denied.port, denied.proto])}\n${changes.map(({ yaml, why }) => `# ${why}\n${yaml}`).join("---\n")}\nof\n${manifests.map((one) => JSON.stringify(one)).join("\n")}`;
      assert.equal(after.judge(denied.from, denied.to, denied).verdict, "allow", told());
      if (saysMore(changes)) {
        counts.wider++;
        continue;
      }
      counts.exact++;
      for (const [from, to, port] of around(cluster, denied)) {
        if (isAlike(from, denied.from) && isAlike(to, denied.to) && isSamePort(port, denied)) continue;
        const [was, is] = [judge.judge(from, to, port).verdict, after.judge(from, to, port).verdict];
        if (was !== is) assert.fail(`${JSON.stringify([from, to, port])}: ${was} → ${is}\n${told()}`);
      }
    }
  });
  fc.assert(property, { numRuns: 60 });
  t.diagnostic(JSON.stringify(counts));
  assert.ok(counts.exact > counts.denied * 0.7, JSON.stringify(counts));
});

function isSamePort(a: PortQuestion, b: PortQuestion): boolean {
  return a.port === b.port && a.proto === b.proto;
}

/** All pods to all pods, and from and to some addresses outside, on the port asked and on others. */
function around({ pods }: OfflineCluster, { port, proto }: Judgement): [End, End, PortQuestion][] {
  const inside = pods.map((pod): End => ({ kind: "pod", pod }));
  const away = outside.slice(0, 3).map((address) => ({ kind: "address", address }) as End);
  const ports = [{ port, proto }, parsePort("80/TCP"), parsePort("53/UDP"), parsePort("ICMP")];
  const pairs = [
    ...inside.flatMap((from) => [...inside, ...away].map((to) => [from, to] as const)),
    ...away.flatMap((from) => inside.map((to) => [from, to] as const)),
  ];
  return pairs.flatMap(([from, to]) => ports.map((one): [End, End, PortQuestion] => [from, to, one]));
}
