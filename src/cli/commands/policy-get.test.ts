// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Grid } from "#cli/print/table.ts";
import { withCosts } from "./policy-get.ts";

const grid = (columns: readonly string[], ...rows: Grid["rows"]): Grid => ({
  columns: columns.map((name) => ({ name })),
  rows,
});

test("policies are shown with what they cost on all nodes, and with who has no room for them", () => {
  const policies = grid(
    ["NAMESPACE", "NAME", "KIND", "STATUS", "REASON", "NODES"],
    ["shop", "web", "NetworkPolicy", "in force", "", "2/2"],
    ["", "wide", "CiliumClusterwideNetworkPolicy", "in force", "", "2/2"],
    ["shop", "idle", "NetworkPolicy", "in force", "", "2/2"],
  );
  const costs = grid(
    ["NODE", "POLICY", "ENTRIES", "MAPS"],
    ["n1", "NetworkPolicy shop/web", 5, 1],
    ["n2", "NetworkPolicy shop/web", 7, 2],
    ["n1", "CiliumClusterwideNetworkPolicy wide", 9, 1],
  );
  const wide = "CiliumClusterwideNetworkPolicy wide";
  const refusals = grid(
    ["NODE", "POLICY", "WOULD TAKE", "ROOM", "REASON"],
    ["n1", wide, 9, 5, "9 of 5"],
    ["n2", wide, 9, 5, "9 of 5"],
  );
  const { columns, rows } = withCosts(policies, costs, refusals);
  assert.deepEqual(columns[4], { name: "ENTRIES" });
  assert.deepEqual(rows, [
    ["shop", "web", "NetworkPolicy", "in force", 12, "", "2/2"],
    ["", "wide", "CiliumClusterwideNetworkPolicy", "too large on n1,n2", 9, "9 of 5", "2/2"],
    ["shop", "idle", "NetworkPolicy", "in force", 0, "", "2/2"],
  ]);
  const alone = grid(["POLICY", "WOULD TAKE", "ROOM", "REASON"], [wide, 9, 5, "9 of 5"]);
  assert.equal(withCosts(policies, costs, alone).rows[1]![3], "too large on this node");
});
