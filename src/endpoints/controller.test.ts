// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { idle } from "#kit/clock.ts";
import { Database } from "#store/table.ts";
import { type EndpointPolicy, startEndpointController } from "./controller.ts";
import type { Endpoint } from "./endpoint.ts";
import { datapathEndpointTable, endpointTable } from "./table.ts";

function endpoint(id: number): Endpoint {
  return {
    id,
    namespace: "shop",
    pod: `web-${id}`,
    podUid: "",
    containerId: `c${id}`,
    ifname: "eth0",
    netns: "",
    hostIfname: `weft${id}`,
    hostIfindex: id,
    mac: "",
    hostMac: "",
    labels: new Map(),
    identity: 1000,
    namedPorts: [],
  };
}

test("an endpoint moves to a policy only when the kernel holds it", async () => {
  const db = new Database();
  const endpoints = endpointTable(db);
  const policies = db.table<EndpointPolicy>({
    name: "policies",
    key: ({ endpointId }) => String(endpointId),
    columns: [],
  });
  const desired = datapathEndpointTable(db);
  const inForce = new Set<string>();
  const [endpointSource, policySource] = [endpoints.source("test"), policies.source("test")];
  using controller = startEndpointController({
    db,
    endpoints,
    policies,
    desired,
    modes: { audit: false, anySource: false },
    policyInForce: (id, revision) => inForce.has(`${id}/${revision}`),
  });
  const judge = (endpointId: number, policyId: number, revision: number) =>
    db.write((tx) =>
      tx.put(policies, { endpointId, policyId, revision, enforceIngress: true, enforceEgress: false }),
    );
  const at = () => [...desired.all()].map((row) => [row.endpoint.id, row.policyId, row.policyRevision]);

  db.write((tx) => tx.put(endpoints, endpoint(1)));
  assert.deepEqual(at(), [], "nothing is known of its policy");
  judge(1, 5, 1);
  await idle();
  assert.deepEqual(at(), [], "the policy's map is not there");
  endpointSource.synced();
  policySource.synced();
  await idle();
  assert.equal(desired.isReady, false, "while an endpoint waits, the table is not complete");

  inForce.add("5/1");
  controller.refresh();
  assert.deepEqual(at(), [[1, 5, 1]]);
  await idle();
  assert.equal(desired.isReady, true);

  judge(1, 5, 2);
  await idle();
  assert.deepEqual(at(), [[1, 5, 1]], "keeps the revision it has");
  judge(1, 0, 0);
  await idle();
  assert.deepEqual(at(), [[1, 0, 0]], "no policy needs no map");
  db.write((tx) => tx.delete(endpoints, "1"));
  await idle();
  assert.deepEqual(at(), []);
});
