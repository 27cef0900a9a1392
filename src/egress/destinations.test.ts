// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { destinationsOf } from "#egress/destinations.ts";
import type { EgressPolicy } from "#egress/policy.ts";
import { dice } from "#kit/dice.ts";
import { propertySeed } from "#kit/property.ts";
import { type Address, contains, type Prefix, parseAddress, parsePrefix, prefixBits } from "#model/ip.ts";

const policy = (
  name: string,
  destinations: readonly string[],
  more: { readonly excluded?: readonly string[]; readonly createdMs?: number } = {},
): EgressPolicy => ({
  name,
  createdMs: more.createdMs ?? 0,
  selectors: [],
  destinations: destinations.map(parsePrefix),
  excluded: (more.excluded ?? []).map(parsePrefix),
  gateways: [],
});

const text = (policies: readonly EgressPolicy[], apart: readonly string[] = []) =>
  destinationsOf(policies, apart.map(parsePrefix)).map(
    ({ prefix, policy: by }) => `${prefix} ${by?.name ?? "nobody"}`,
  );

test("a policy alone: its destinations but for its exclusions", () => {
  const one = policy("one", ["0.0.0.0/0", "::/0", "10.0.0.0/8"], {
    excluded: ["10.1.0.0/16", "172.16.0.0/12"],
  });
  assert.deepEqual(text([one]), ["0.0.0.0/0 one", "::/0 one", "172.16.0.0/12 nobody", "10.1.0.0/16 nobody"]);
});

test("an exclusion keeps out its own policy and no other", () => {
  const wide = policy("wide", ["0.0.0.0/0"], { excluded: ["10.0.0.0/8"] });
  assert.deepEqual(text([wide, policy("near", ["10.0.0.0/8"])]), ["0.0.0.0/0 wide", "10.0.0.0/8 near"]);
  assert.deepEqual(text([wide, policy("part", ["10.1.0.0/16"])]), [
    "0.0.0.0/0 wide",
    "10.0.0.0/8 nobody",
    "10.1.0.0/16 part",
  ]);
  assert.deepEqual(text([wide, policy("around", ["8.0.0.0/5"])]), ["0.0.0.0/0 wide", "8.0.0.0/5 around"]);
});

test("of policies with the same destination the oldest counts, then the first by name", () => {
  const [a, b, c] = [
    policy("a", ["192.0.2.0/24"], { createdMs: 2 }),
    policy("b", ["192.0.2.0/24"], { createdMs: 1 }),
    policy("c", ["192.0.2.0/24"], { createdMs: 1 }),
  ];
  assert.deepEqual(text([a, c, b]), ["192.0.2.0/24 b"]);
});

test("API servers belong to the cluster, wherever they are", () => {
  const one = policy("one", ["192.0.2.0/24"]);
  assert.deepEqual(text([one], ["192.0.2.7/32", "198.51.100.1/32"]), [
    "192.0.2.0/24 one",
    "192.0.2.7/32 nobody",
  ]);
});

test("the longest prefix says what asking all policies says, for any address", () => {
  const rolls = dice(propertySeed);
  const prefix = () => {
    const bits = rolls.pick([0, 1, 2, 3, 30, 31, 32]);
    return parsePrefix(`${rolls.pick([0, 64, 128, 192])}.0.0.${rolls.below(4)}/${bits}`);
  };
  for (let round = 0; round < 300; round++) {
    const policies = rolls.times(1 + rolls.below(4), () => ({
      ...policy(`p${rolls.below(1_000)}`, []),
      createdMs: rolls.below(3),
      destinations: rolls.times(1 + rolls.below(3), prefix),
      excluded: rolls.times(rolls.below(3), prefix),
    }));
    const found = destinationsOf(policies, []);
    for (const first of [0, 64, 128, 192])
      for (let last = 0; last < 4; last++) {
        const address = parseAddress(`${first}.0.0.${last}`);
        assert.equal(
          longest(found, address)?.name,
          asked(policies, address)?.name,
          `round ${round} ${address}`,
        );
      }
  }
});

function longest(found: ReturnType<typeof destinationsOf>, address: Address): EgressPolicy | undefined {
  return found
    .filter(({ prefix }) => contains(prefix, address))
    .sort((a, b) => prefixBits(b.prefix) - prefixBits(a.prefix))[0]?.policy;
}

function asked(policies: readonly EgressPolicy[], address: Address): EgressPolicy | undefined {
  const holds = (prefixes: readonly Prefix[]) =>
    prefixes.filter((prefix) => contains(prefix, address)).map(prefixBits);
  const bits = ({ destinations }: EgressPolicy) => Math.max(-1, ...holds(destinations));
  return policies
    .filter((one) => bits(one) >= 0 && holds(one.excluded).length === 0)
    .sort((a, b) => bits(b) - bits(a) || a.createdMs - b.createdMs || (a.name < b.name ? -1 : 1))[0];
}
