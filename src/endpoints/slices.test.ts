// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { identityTable } from "#identities/table.ts";
import { parseLabels } from "#model/labels.ts";
import { Database } from "#store/table.ts";
import { type EndpointSliceObject, joinSlices, slicedEndpointRows, slicedEndpointTable } from "./slices.ts";
import { clusterEndpointTable } from "./table.ts";

const slice = (
  name: string,
  ...endpoints: NonNullable<EndpointSliceObject["endpoints"]>
): EndpointSliceObject => ({
  metadata: { name },
  namespace: "shop",
  endpoints,
});
const web = {
  name: "web",
  id: 300,
  networking: { addressing: [{ ipv4: "10.1.0.2", ipv6: "fd00::2" }], node: "192.168.0.1" },
  "named-ports": [{ name: "dns", port: 53, protocol: "UDP" }],
};

function room() {
  const db = new Database();
  const sliced = slicedEndpointTable(db);
  const identities = identityTable(db);
  const clusterEndpoints = clusterEndpointTable(db);
  joinSlices({ db, sliced, identities, clusterEndpoints });
  const put = (object: EndpointSliceObject) =>
    db.write((tx) => {
      for (const row of slicedEndpointRows(object)) tx.put(sliced, row);
    });
  return { db, sliced, identities, clusterEndpoints, put };
}

test("an endpoint of a slice is one of the cluster, with its identity's labels as soon as these are known", () => {
  const { db, identities, clusterEndpoints, put } = room();
  put(slice("ces-a", web, { name: "no identity" }));
  assert.deepEqual(clusterEndpoints.get("shop/web"), {
    namespace: "shop",
    name: "web",
    identity: 300,
    addresses: ["10.1.0.2", "fd00::2"],
    nodeAddress: "192.168.0.1",
    namedPorts: [{ name: "dns", port: 53, proto: 17 }],
    labels: [],
  });
  db.write((tx) => tx.put(identities, { id: 300, labels: parseLabels(["k8s:app=web"]) }));
  assert.deepEqual(clusterEndpoints.get("shop/web")?.labels, ["k8s:app=web"]);
  assert.equal(clusterEndpoints.size, 1);
});

test("an endpoint that is in two slices is still there when one of them loses it", () => {
  const { db, sliced, clusterEndpoints, put } = room();
  put(slice("ces-b", { ...web, id: 301 }));
  put(slice("ces-a", web));
  assert.equal(clusterEndpoints.get("shop/web")?.identity, 300);
  db.write((tx) => tx.delete(sliced, "ces-a shop/web"));
  assert.equal(clusterEndpoints.get("shop/web")?.identity, 301);
  db.write((tx) => tx.delete(sliced, "ces-b shop/web"));
  assert.equal(clusterEndpoints.size, 0);
});
