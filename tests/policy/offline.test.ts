// SPDX-License-Identifier: Apache-2.0
/** The tools that judge manifests without a cluster (`weft explain`, `policy test`, `matrix`) say what the references say. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "#kit/property.ts";
import { loadCluster } from "#policy/offline/cluster.ts";
import { createJudge } from "#policy/offline/judge.ts";
import { attemptText } from "./agreement.ts";
import { protocolNumber } from "./compiled.ts";
import { attemptIn, attemptShapes, clusters } from "./generate-cluster.ts";
import { policies } from "./generate-policies.ts";
import { endOf, objectsOf, offlineSettings } from "./offline-objects.ts";
import { mayConnect } from "./oracle/oracle.ts";

test("offline, as the references say", (t) => {
  const counts = { asked: 0, denied: 0 };
  const world = fc.noShrink(
    fc.tuple(
      clusters,
      policies(["NetworkPolicy", "Cilium", "ClusterNetworkPolicy"]),
      fc.array(attemptShapes, { minLength: 40, maxLength: 40 }),
    ),
  );
  const property = fc.property(world, ([cluster, manifests, shapes]) => {
    const judge = createJudge(loadCluster(objectsOf(cluster, manifests), offlineSettings(cluster)));
    for (const shape of shapes) {
      // A pod is asked by its first address.
      const attempt = attemptIn(cluster, { ...shape, v6: false });
      const wanted = attempt && mayConnect(cluster, manifests, attempt);
      if (!attempt || wanted === undefined) continue;
      const port = { port: attempt.port, proto: protocolNumber(attempt) };
      const { verdict } = judge.judge(endOf(judge, attempt.from), endOf(judge, attempt.to), port);
      const text = () => `${attemptText(attempt)}\n${manifests.map((one) => JSON.stringify(one)).join("\n")}`;
      assert.equal(verdict, wanted ? "allow" : "deny", verdict === (wanted ? "allow" : "deny") ? "" : text());
      counts.asked++;
      counts.denied += wanted ? 0 : 1;
    }
  });
  fc.assert(property, { numRuns: 100 });
  t.diagnostic(`${counts.asked} questions, ${counts.denied} denied`);
  assert.ok(counts.denied > counts.asked / 20 && counts.denied < (counts.asked * 19) / 20);
});
