// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Address, Prefix } from "#model/ip.ts";
import type { ResolvedPolicy } from "#policy/rule.ts";
import type { Backend, Frontend } from "#services/service.ts";
import { mapFill } from "./agent-map-fill.ts";
import { agentTables } from "./agent-tables.ts";

const backend = (address: string): Backend => ({
  address: address as Address,
  port: 80,
  proto: 6,
  ready: true,
  serving: true,
  terminating: false,
});

function frontend(port: number, backends: readonly string[], more: Partial<Frontend> = {}): Frontend {
  return {
    namespace: "shop",
    name: "web",
    portName: "",
    type: "ClusterIP",
    address: "10.96.0.1" as Address,
    port,
    proto: 6,
    backends: backends.map(backend),
    ...more,
  };
}

test("maps are as full as the tables that fill them; a shared backend counts once", () => {
  const tables = agentTables();
  const fill = mapFill(tables, { size: 9 }, (map) => map.length);
  const entries = () => Object.fromEntries(fill().map((map) => [map.name, map.entries]));
  assert.ok(Object.entries(entries()).every(([name, count]) => count === (name === "prefilter" ? 9 : 0)));

  const policy = { id: 1, revision: 1, enforceIngress: true, enforceEgress: false, entries: [] };
  const rule = { identity: 0 } as ResolvedPolicy["entries"][number];
  tables.db.write((tx) => {
    tx.put(tables.frontends, frontend(80, ["10.0.0.1", "10.0.0.2"], { draining: [backend("10.0.0.3")] }));
    tx.put(
      tables.frontends,
      frontend(443, ["10.0.0.1"], { sourceRanges: ["192.0.2.0/24", "198.51.100.0/24"] as Prefix[] }),
    );
    const even = frontend(81, ["10.0.0.1"], { name: "hashes", algorithm: "maglev" });
    for (const address of ["10.96.0.2", "10.96.0.3"] as Address[])
      tx.put(tables.frontends, { ...even, address });
    tx.put(tables.policyMaps, policy);
    tx.put(tables.policyMaps, { ...policy, id: 2, entries: [rule, rule] });
    tx.put(tables.ipcache, { prefix: "10.0.0.1/32" as Prefix, identity: 7, source: "t" });
  });
  assert.deepEqual(entries(), {
    endpoints: 0,
    ipcache: 1,
    blocks: 0,
    egress: 0,
    masquerade_exempt: 0,
    policy_maps: 2,
    policy_entries: 2,
    lb_frontends: 4,
    lb_slots: 4,
    lb_backends: 3,
    lb_tables: 1,
    lb_source_ranges: 2,
    l2_responders: 0,
    prefilter: 9,
  });
  tables.db.write((tx) => tx.delete(tables.frontends, tables.frontends.keyOf(frontend(80, []))));
  assert.deepEqual([entries()["lb_slots"], entries()["lb_backends"]], [3, 1]);
  const sizes = Object.fromEntries(fill().map((map) => [map.name, map.maxEntries]));
  assert.equal(sizes["endpoints"], "endpoints_by_ifindex".length);
  assert.equal(sizes["policy_maps"], "policies".length);
  assert.equal(fill().find(({ name }) => name === "policy_maps")?.map, "policies");
});
