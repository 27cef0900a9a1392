// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { programsKey } from "../build/recipe.ts";
import { checkOptions, defaultOptions, layoutOf, nodeAddress, nodeLabels, serviceAddress } from "./shape.ts";

test("addresses follow from the options", () => {
  assert.equal(serviceAddress(defaultOptions, 1), "10.96.0.1");
  assert.equal(serviceAddress(defaultOptions, 10, 6), "fd00:96::a");
  assert.equal(serviceAddress({ ...defaultOptions, serviceCidr: "10.0.3.128/25" }, 10), "10.0.3.138");
  assert.deepEqual(nodeAddress(2), { v4: "10.240.0.12", v6: "fd00:240::c" });
  const zones = [1, 2, 3, 4].map((index) => nodeLabels({ ...defaultOptions, zones: 3 }, index).split("=")[1]);
  assert.deepEqual(zones, ["z1", "z2", "z3", "z1"]);
  assert.equal(nodeLabels(defaultOptions, 1), "");
});

test("names become namespaces and cgroups, so they are narrow", () => {
  checkOptions({ ...defaultOptions, name: "ag2" });
  for (const name of ["", "a-b", "../x", "a".repeat(13)]) {
    assert.throws(() => checkOptions({ ...defaultOptions, name }), { code: "E_CLUSTER_OPTIONS" });
  }
  assert.throws(() => checkOptions({ ...defaultOptions, nodes: 21 }), { code: "E_CLUSTER_OPTIONS" });
  assert.equal(layoutOf("ag").nodeNetns("n1"), "weft-k8s-ag-n1");
});

test("the key of a build does not change by itself", () => {
  assert.equal(programsKey(), programsKey());
  assert.match(programsKey(), /^v1\.\d+\.\d+-[0-9a-f]{12}$/);
});
