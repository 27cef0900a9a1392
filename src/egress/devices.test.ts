// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress, parsePrefix } from "#model/ip.ts";
import { egressDevices } from "./devices.ts";
import type { OwnAddress } from "./own-addresses.ts";
import type { EgressRow } from "./rows.ts";

const row = (way: EgressRow["way"], address?: string): EgressRow => ({
  pod: "shop/cart",
  source: parseAddress("10.0.1.2"),
  destination: parsePrefix("0.0.0.0/0"),
  way,
  policy: "billing",
  gateway: "n1",
  asked: "",
  ...(address !== undefined && { address: parseAddress(address) }),
});
const own = (address: string, ifindex: number): OwnAddress => ({
  address: parseAddress(address),
  device: `eth${ifindex}`,
  ifindex,
  order: ifindex,
});
const addresses = [
  own("192.0.2.10", 2),
  own("198.51.100.10", 3),
  own("2001:db8::10", 3),
  own("203.0.113.10", 4),
];

test("answers come in by the devices of the addresses that pods leave with, the node's own apart", () => {
  const of = (...rows: EgressRow[]) => [...egressDevices(rows, addresses, 2)];
  assert.deepEqual(of(), []);
  assert.deepEqual(of(row("gateway", "192.0.2.10")), []);
  assert.deepEqual(of(row("gateway", "203.0.113.10"), row("gateway", "198.51.100.10")), [3, 4]);
  assert.deepEqual(of(row("gateway", "198.51.100.10"), row("gateway", "2001:db8::10")), [3]);
  assert.deepEqual(of(row("gateway"), row("none"), row("tunnel"), row("excluded")), []);
  assert.deepEqual(of(row("gateway", "198.51.100.99")), [], "not the node's any more");
});
