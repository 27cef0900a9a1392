// SPDX-License-Identifier: Apache-2.0
/** The tools that judge manifests without a cluster (`weft explain`, `policy test`, `matrix`) say what the references say. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "#kit/property.ts";
import { parseAddress } from "#model/ip.ts";
import { loadCluster } from "#policy/offline/cluster.ts";
import { createJudge, type End, type Judge } from "#policy/offline/judge.ts";
import type { SourcedObject } from "#policy/offline/objects.ts";
import { attemptText } from "./agreement.ts";
import { protocolNumber } from "./compiled.ts";
import { attemptIn, attemptShapes, clusters } from "./generate-cluster.ts";
import { policies } from "./generate-policies.ts";
import { type Cluster, type Manifest, settingsOf } from "./oracle/cluster.ts";
import { mayConnect } from "./oracle/oracle.ts";

/** The cluster as its API server would tell of it. */
function objectsOf(cluster: Cluster, manifests: readonly Manifest[]): SourcedObject[] {
  const spaces = Object.entries(cluster.namespaces).map(([name, labels]) => ({
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name, labels },
  }));
  const nodes = cluster.nodes.map(({ name, labels, addresses }) => ({
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels },
    status: { addresses: addresses.map((address) => ({ type: "InternalIP", address })) },
  }));
  const pods = cluster.pods.map(
    ({ namespace, name, serviceAccount, node, addresses, ports, ...metadata }) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { namespace, name, ...metadata },
      spec: {
        serviceAccountName: serviceAccount,
        nodeName: node,
        containers: [
          { name: "main", ports: ports.map(({ port, ...rest }) => ({ ...rest, containerPort: port })) },
        ],
      },
      status: { podIPs: addresses.map((ip) => ({ ip })) },
    }),
  );
  return [...spaces, ...nodes, ...pods, ...cluster.referred, ...manifests].map((object) => ({
    object: object as SourcedObject["object"],
  }));
}

function endOf({ cluster }: Judge, address: string): End {
  const parsed = parseAddress(address);
  const pod = cluster.pods.find(({ addresses }) => addresses.includes(parsed));
  return pod ? { kind: "pod", pod } : { kind: "address", address: parsed };
}

test("offline, as the references say", (t) => {
  const counts = { asked: 0, denied: 0 };
  const world = fc.noShrink(
    fc.tuple(
      clusters,
      policies(["NetworkPolicy", "Cilium", "ClusterNetworkPolicy"]),
      fc.array(attemptShapes, { minLength: 40, maxLength: 40 }),
    ),
  );
  const property = fc.property(world, ([all, manifests, shapes]) => {
    const { enforcement, neverLockOut } = settingsOf(all);
    const cluster = { ...all, apiServers: [], settings: { enforcement, neverLockOut, audit: false } };
    const judge = createJudge(loadCluster(objectsOf(cluster, manifests)), enforcement);
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
