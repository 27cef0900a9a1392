// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { placesOf } from "./proxy-node.ts";

const rule = (address: string, protocol = "tcp") =>
  `-A KUBE-SERVICES -d ${address}/32 -p ${protocol} -m comment --comment "bench/x" -m ${protocol} --dport 80 -j KUBE-SVC-X`;
const rules = [
  "-N KUBE-SERVICES",
  rule("10.96.77.1", "udp"),
  rule("10.96.77.2"),
  rule("10.96.128.1"),
  rule("10.96.77.1"),
  rule("10.96.128.2"),
  rule("10.96.77.3"),
  "-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS",
  "",
].join("\n");

test("the service nearest the middle of the rules, and the last, by their TCP rules", () => {
  const addresses = ["10.96.77.2", "10.96.77.1", "10.96.77.3"];
  assert.deepEqual(placesOf(rules, addresses), {
    middle: { address: "10.96.77.1", before: 3 },
    last: { address: "10.96.77.3", before: 5 },
    rules: 7,
  });
});

test("an address is not the beginning of another", () => {
  assert.equal(placesOf(rules, ["10.96.77.3", "10.96.77"]).last.address, "10.96.77.3");
});

test("a service without a rule is not chosen; none at all is an error", () => {
  assert.equal(placesOf(rules, ["10.96.99.9", "10.96.77.2"]).middle.address, "10.96.77.2");
  assert.throws(() => placesOf(rules, ["10.96.99.9"]), /no rule/);
});
