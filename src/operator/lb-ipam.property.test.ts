// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { pool, type ServiceParts, service } from "#kit/load-balancers.ts";
import fc from "#kit/property.ts";
import { type Address, addressNumber, addressOfNumber, family, parseAddress } from "#model/ip.ts";
import { LbIpam } from "./lb-ipam.ts";
import { ActivePool, type LbPool } from "./lb-ipam-pool.ts";
import { overlap, RangeSet, readBlock } from "./lb-ipam-ranges.ts";
import { type LbService, lbServiceKey, sharingProblem } from "./lb-ipam-service.ts";

test("property: ranges hold, count and find what their addresses say", () => {
  const ends = fc.tuple(fc.nat(40), fc.nat(8)).map(([first, length]) => {
    const at = (n: number) => addressOfNumber(4, BigInt(n));
    return readBlock({ start: at(first), stop: at(first + length) });
  });
  fc.assert(
    fc.property(fc.array(ends, { maxLength: 5 }), fc.option(fc.nat(50)), (ranges, after) => {
      const set = new RangeSet(4, ranges);
      const numbers = Array.from({ length: 60 }, (_, i) => BigInt(i)).filter((n) =>
        ranges.some(({ first, last }) => first <= n && n <= last),
      );
      assert.equal(set.size, BigInt(numbers.length));
      const seen: bigint[] = [];
      const from = after === null ? undefined : BigInt(after);
      set.find(from, (address) => {
        assert.ok(set.has(address));
        seen.push(addressNumber(address));
        return false;
      });
      const later = numbers.filter((n) => from === undefined || n > from);
      assert.deepEqual(seen, [...later, ...numbers.filter((n) => !later.includes(n))]);
    }),
  );
});

const poolArb = fc
  .record({
    first: fc.nat(12),
    length: fc.nat(4),
    age: fc.nat(3),
    disabled: fc.boolean(),
    six: fc.boolean(),
    color: fc.constantFrom(undefined, "red", "blue"),
  })
  .map(({ first, length, color, six, ...rest }) => ({
    blocks: [
      `10.0.0.${first}-10.0.0.${first + length}`,
      ...(six ? [`fd00::${(first + 1).toString(16)}-fd00::${(first + 2).toString(16)}`] : []),
    ],
    ...rest,
    ...(color !== undefined && { serviceSelector: { matchLabels: { color } } }),
  }));
const serviceArb: fc.Arbitrary<ServiceParts> = fc.record(
  {
    age: fc.nat(5),
    labels: fc.constantFrom({}, { color: "red" }, { color: "blue" }),
    ips: fc.constantFrom("10.0.0.3", "10.0.0.3,10.0.0.4", "10.0.0.200", "fd00::2"),
    share: fc.constantFrom("k", "l"),
    across: fc.constantFrom("*", "other"),
    ports: fc.constantFrom([80], [81], [80, 82]),
    families: fc.constantFrom(["IPv4"] as const, ["IPv6"] as const, ["IPv4", "IPv6"] as const),
    policy: fc.constantFrom("RequireDualStack", "PreferDualStack"),
  },
  { requiredKeys: ["age"] },
);
const stepArb = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ at: fc.constantFrom("a", "b", "c", "other/d", "other/e"), parts: serviceArb }),
  },
  { weight: 1, arbitrary: fc.record({ remove: fc.constantFrom("default/a", "default/b", "other/d") }) },
  { weight: 1, arbitrary: fc.record({ pools: fc.array(poolArb, { maxLength: 3 }) }) },
);

/** What must hold of every state, whatever led there. */
function checkState(ipam: LbIpam, pools: readonly LbPool[], services: ReadonlyMap<string, LbService>): void {
  const owners = new Map<Address, LbService[]>();
  for (const [key, one] of services) {
    const { addresses, reason, message } = ipam.assignment(key)!;
    assert.equal(reason === "satisfied", message === "");
    for (const address of addresses) {
      assert.ok(one.families.includes(family(address)), `${key} has ${address} of a family it lacks`);
      assert.ok(
        pools.some(
          (row) =>
            new ActivePool(row, undefined).holds(address) &&
            new ActivePool(row, undefined).selects(one.labels),
        ),
        `${key} has ${address} of no pool that selects it`,
      );
      if (one.requested.length > 0) assert.ok(one.requested.includes(address));
      for (const other of owners.get(address) ?? [])
        assert.equal(
          sharingProblem(one, other),
          undefined,
          `${key} and ${lbServiceKey(other)} share ${address}`,
        );
      owners.set(address, [...(owners.get(address) ?? []), one]);
    }
    if (one.requested.length === 0) assert.ok(addresses.length <= one.families.length);
    if (reason === "satisfied") assert.ok(addresses.length >= (one.requested.length || 1));
    if (reason === "out_of_ips") {
      const missing = one.families.filter((of) => !addresses.some((address) => family(address) === of));
      for (const active of ipam.pools.filter((open) => open.isOpen && open.selects(one.labels)))
        if (missing.length === one.families.length)
          assert.ok(
            missing.some((of) => active.isFull(of)),
            `${key} lacks, ${active.row.name} has room`,
          );
    }
  }
  for (const active of ipam.pools) {
    const inUse = [...owners.keys()].filter((address) => active.gives[family(address)].has(address));
    assert.equal(active.used[4] + active.used[6], BigInt(inUse.length), `count of ${active.row.name}`);
    if (!active.isOpen) continue;
    for (const other of ipam.pools)
      if (other !== active && other.isOpen)
        for (const range of active.row.ranges)
          assert.ok(!other.row.ranges.some((one) => overlap(one, range)));
  }
}

test("property: whatever changes, nobody shares who must not, counts are right, and a restart changes nothing", () => {
  fc.assert(
    fc.property(fc.array(stepArb, { minLength: 1, maxLength: 14 }), (steps) => {
      let pools = [pool("p0", ["10.0.0.0-10.0.0.5", "fd00::1-fd00::3"])];
      const services = new Map<string, LbService>();
      const ipam = new LbIpam();
      ipam.setPools(pools);
      let generation = 1;
      for (const step of steps) {
        const before = new Map([...services.keys()].map((key) => [key, ipam.assignment(key)!]));
        if ("parts" in step) {
          const one = service(step.at, step.parts);
          services.set(lbServiceKey(one), one);
          ipam.setService(one);
        } else if ("remove" in step) {
          services.delete(step.remove);
          ipam.removeService(step.remove);
        } else {
          generation++;
          pools = step.pools.map(({ blocks, ...parts }, i) =>
            pool(`p${i}`, blocks, { ...parts, generation }),
          );
          ipam.setPools(pools);
        }
        ipam.settle();
        checkState(ipam, pools, services);
        // Who was not touched keeps all it had.
        if (!("pools" in step))
          for (const [key, { addresses }] of before)
            if (services.has(key) && !("parts" in step && lbServiceKey(service(step.at)) === key))
              for (const address of addresses)
                assert.ok(ipam.assignment(key)!.addresses.includes(address), key);
      }
      const restarted = new LbIpam();
      restarted.setPools(pools);
      for (const [key, one] of services)
        restarted.setService({ ...one, held: parseAll(ipam.assignment(key)!.addresses) });
      restarted.settle();
      for (const key of services.keys())
        assert.deepEqual(restarted.assignment(key)!.addresses, ipam.assignment(key)!.addresses, key);
    }),
    { numRuns: 400 },
  );
});

function parseAll(texts: readonly string[]): Address[] {
  return texts.map(parseAddress);
}
