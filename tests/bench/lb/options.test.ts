// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { lbOptions } from "./options.ts";

test("without options: all sizes, all parts, both kinds of kube-proxy", () => {
  assert.deepEqual(lbOptions([]), {
    services: [1, 1000, 10_000],
    parts: ["programming", "pods", "nodeport", "changes"],
    proxies: ["iptables", "nftables"],
  });
});

test("lists by comma or by repeating, in the bench's own order, each once", () => {
  const argv = ["--services", "1000,1", "--services", "1", "--only", "pods", "--only", "programming"];
  const options = lbOptions([...argv, "--proxies=nftables", "--rounds", "3", "--json", "out.json"]);
  assert.deepEqual(options, {
    services: [1, 1000],
    parts: ["programming", "pods"],
    proxies: ["nftables"],
    rounds: 3,
    json: "out.json",
  });
});

test("help is help, whatever else is there", () => {
  assert.equal(lbOptions(["--help", "--rounds", "many"]), "help");
});

for (const [argv, message] of [
  [["--services", "0"], "--services takes 1 to 20000"],
  [["--services", "1e3"], "--services takes 1 to 20000"],
  [["--only", "pods,nothing"], '--only: "nothing" is none of programming, pods, nodeport, changes'],
  [["--proxies", "ipvs"], '--proxies: "ipvs" is none of iptables, nftables'],
  [["--rounds", "0"], "--rounds takes 1 to 1000"],
] as const)
  test(`${argv.join(" ")} is refused`, () => assert.throws(() => lbOptions(argv), { message }));

test("an unknown option is refused by its name", () => {
  assert.throws(() => lbOptions(["--fast"]), /--fast/);
});
