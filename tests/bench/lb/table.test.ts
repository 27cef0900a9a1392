// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { figure } from "../stats.ts";
import { tables } from "./table.ts";

test("figures come into their rows, by size; what was not measured makes no table", () => {
  const shown = tables([
    figure("Weft, 1,000 services: tcp_crr rate", "ratio", [0.8, 0.82, 0.84], "direct veth"),
    figure("Weft, 1 service: tcp_crr rate", "ratio", [0.9, 0.91, 0.92], "direct veth"),
    figure("Weft, 1 service: tcp_crr rate", "ratio", [2, 2.1, 2.2], "kube-proxy iptables, 1 service"),
    figure("Weft, 1 service: heap of the agent", "MB", [20.5]),
  ]);
  assert.equal(
    shown,
    `#### From pods: rate, ratio; higher is better

| path | held against |  | TCP_RR | TCP_CRR | UDP_RR | stream |
| --- | --- | --- | --- | --- | --- | --- |
| Weft | direct veth | 1 service |  | 0.910 [0.905–0.915] |  |  |
| Weft | kube-proxy iptables | 1 service |  | 2.10 [2.05–2.15] |  |  |
| Weft | direct veth | 1,000 services |  | 0.820 [0.810–0.830] |  |  |

#### From an empty node to all services

| daemon |  | CPU, s | time, s | Weft's CPU to it | heap, MB |
| --- | --- | --- | --- | --- | --- |
| Weft | 1 service |  |  |  | 20.5 |`,
  );
});

test("nothing measured is nothing shown", () => assert.equal(tables([]), ""));
