// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "#kit/property.ts";
import { type Address, contains, type Prefix } from "#model/ip.ts";
import { Ipam } from "./ipam.ts";

const cidr = (text: string) => text as Prefix;
const address = (text: string) => text as Address;
const names = (count: number) => Array.from({ length: count }, (_, i) => `c${i}`);

test("leaves out network, router and broadcast, and says when it is full", () => {
  const ipam = new Ipam([cidr("10.0.0.0/29"), cidr("fd00::/64")]);
  assert.deepEqual(ipam.router, { v4: "10.0.0.1", v6: "fd00::1" });
  const given = names(5).map((owner) => ipam.allocate(owner));
  assert.deepEqual(
    given.map((at) => at.v4),
    ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"],
  );
  assert.deepEqual(
    given.map((at) => at.v6),
    ["fd00::2", "fd00::3", "fd00::4", "fd00::5", "fd00::6"],
  );
  assert.throws(() => ipam.allocate("late"), {
    code: "E_IPAM_FULL",
    message: "all 5 addresses of the node's pod CIDR 10.0.0.0/29 are in use",
  });
  assert.equal(ipam.get("late"), undefined);
  assert.deepEqual(ipam.usage()[0], { cidr: "10.0.0.0/29", used: 5, size: 5 });
});

test("a family that is full gives nothing of the other either", () => {
  const ipam = new Ipam([cidr("10.0.0.0/28"), cidr("fd00::/126")]);
  assert.deepEqual(
    names(2).map((owner) => ipam.allocate(owner).v6),
    ["fd00::2", "fd00::3"],
  );
  assert.throws(() => ipam.allocate("late"), { code: "E_IPAM_FULL" });
  assert.deepEqual(
    ipam.usage().map((pool) => pool.used),
    [2, 2],
  );
});

test("what was freed last is given last", () => {
  const ipam = new Ipam([cidr("10.0.0.0/29")]);
  for (const owner of names(3)) ipam.allocate(owner);
  ipam.release("c1");
  ipam.release("c0");
  const next = ["a", "b", "c", "d"].map((owner) => ipam.allocate(owner).v4);
  assert.deepEqual(next, ["10.0.0.5", "10.0.0.6", "10.0.0.3", "10.0.0.2"]);
});

test("after a restart it goes on behind the highest address in use", () => {
  const ipam = new Ipam([cidr("10.0.0.0/29")]);
  ipam.restore("old", { v4: address("10.0.0.4") });
  ipam.restore("foreign", { v4: address("10.9.9.9") });
  assert.deepEqual(
    names(4).map((owner) => ipam.allocate(owner).v4),
    ["10.0.0.5", "10.0.0.6", "10.0.0.2", "10.0.0.3"],
  );
  assert.throws(() => ipam.restore("twice", { v4: address("10.0.0.4") }), { code: "E_IPAM_CONFLICT" });
  assert.throws(() => ipam.restore("old", {}), { code: "E_IPAM_CONFLICT" });
  assert.equal(ipam.release("foreign"), true);
  assert.deepEqual(ipam.usage(), [{ cidr: "10.0.0.0/29", used: 5, size: 5 }]);
});

test("refuses CIDRs it cannot serve, and owners that have an address", () => {
  assert.throws(() => new Ipam([]), { code: "E_IPAM_CIDR" });
  assert.throws(() => new Ipam([cidr("10.0.0.0/24"), cidr("10.0.1.0/24")]), { code: "E_IPAM_CIDR" });
  const ipam = new Ipam([cidr("10.0.0.0/31")]);
  assert.throws(() => ipam.allocate("a"), { code: "E_IPAM_FULL" });
  const other = new Ipam([cidr("10.0.0.0/24")]);
  other.allocate("a");
  assert.throws(() => other.allocate("a"), { code: "E_IPAM_OWNER" });
  assert.equal(other.release("b"), false);
});

test("against a naive model: never two owners of one address, never a reserved one, longest unused first", () => {
  const owner = fc.integer({ min: 0, max: 11 }).map((n) => `c${n}`);
  const steps = fc.array(fc.tuple(fc.boolean(), owner), { maxLength: 120 });
  fc.assert(
    fc.property(steps, fc.constantFrom("10.1.0.0/28", "10.1.0.0/29", "fd01::/124"), (actions, range) => {
      const pool = cidr(range);
      const ipam = new Ipam([pool]);
      const held = new Map<string, string>();
      const freedAt = new Map<string, number>();
      for (const [step, [take, name]] of actions.entries()) {
        if (!take) {
          assert.equal(ipam.release(name), held.has(name));
          const was = held.get(name);
          if (was !== undefined) freedAt.set(was, step);
          held.delete(name);
        } else if (held.has(name)) {
          assert.throws(() => ipam.allocate(name), { code: "E_IPAM_OWNER" });
        } else if (held.size === ipam.usage()[0]!.size) {
          assert.throws(() => ipam.allocate(name), { code: "E_IPAM_FULL" });
        } else {
          const got = Object.values(ipam.allocate(name))[0] as Address;
          assert.ok(contains(pool, got));
          assert.ok(!["10.1.0.0", "10.1.0.1", "fd01::", "fd01::1"].includes(got));
          assert.ok(![...held.values()].includes(got));
          const free = [...freedAt].filter(([at]) => ![...held.values()].includes(at));
          const since = freedAt.get(got);
          if (since !== undefined)
            assert.ok(
              free.every(([, at]) => at >= since),
              "an address was free for longer",
            );
          held.set(name, got);
        }
        assert.equal(ipam.usage()[0]!.used, held.size);
      }
    }),
  );
});
