// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { sizeText } from "./context.ts";
import { filledFigures } from "./programming.ts";

const run = (cpuSec: number) => ({ cpuSec, wallSec: 2 * cpuSec });

test("each daemon's CPU and time, and Weft's to the median of the others", () => {
  const figures = filledFigures(
    { name: "Weft", runs: [run(1), run(2), run(3)] },
    [{ name: "kube-proxy iptables", runs: [run(10), run(20), run(90)] }],
    sizeText(1000),
  );
  const shown = figures.map(({ name, unit, median, control }) => [name, unit, median, control]);
  assert.deepEqual(shown, [
    ["Weft, 1,000 services: from empty to all services, CPU", "s", 2, undefined],
    ["Weft, 1,000 services: from empty to all services", "s", 4, undefined],
    ["kube-proxy iptables, 1,000 services: from empty to all services, CPU", "s", 20, undefined],
    ["kube-proxy iptables, 1,000 services: from empty to all services", "s", 40, undefined],
    [
      "Weft, 1,000 services: from empty to all services, CPU",
      "ratio",
      0.1,
      "kube-proxy iptables, 1,000 services",
    ],
  ]);
});

test("one service is one, in words", () => assert.equal(sizeText(1), "1 service"));
