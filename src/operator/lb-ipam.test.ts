// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { pool, service } from "#kit/load-balancers.ts";
import { LbIpam } from "./lb-ipam.ts";
import type { LbPool } from "./lb-ipam-pool.ts";
import { readBlock } from "./lb-ipam-ranges.ts";
import type { LbService } from "./lb-ipam-service.ts";
import { poolConditions } from "./lb-ipam-status.ts";

function ipamOf(pools: readonly LbPool[], services: readonly LbService[] = []) {
  const ipam = new LbIpam();
  ipam.setPools(pools);
  for (const one of services) ipam.setService(one);
  ipam.settle();
  return ipam;
}

const has = (ipam: LbIpam, at: string) =>
  ipam.assignment(at.includes("/") ? at : `default/${at}`)?.addresses.join() ?? "";
const why = (ipam: LbIpam, at: string) => ipam.assignment(`default/${at}`)?.reason;
const counts = (ipam: LbIpam, i = 0) =>
  poolConditions(ipam.pools[i]!)
    .map(({ message }) => message)
    .slice(1)
    .join();

test("each service gets an address of its own, keeps it over a restart, and gives it back", () => {
  const pools = [pool("a", ["10.0.0.0/30"])];
  const ipam = ipamOf(pools, [service("x"), service("y")]);
  assert.deepEqual([has(ipam, "x"), has(ipam, "y"), counts(ipam)], ["10.0.0.0", "10.0.0.1", "4,2,2"]);
  const again = ipamOf(pools, [service("new", { age: -9 }), service("y", { held: ["10.0.0.1"], age: 5 })]);
  assert.deepEqual([has(again, "y"), has(again, "new")], ["10.0.0.1", "10.0.0.0"]);
  ipam.removeService("default/x");
  ipam.setService(service("z"));
  ipam.settle();
  assert.equal(has(ipam, "z"), "10.0.0.2", "what was given back is used last");
  for (const name of ["p", "q", "r"]) ipam.setService(service(name));
  ipam.settle();
  assert.deepEqual([has(ipam, "q"), why(ipam, "r"), counts(ipam)], ["10.0.0.0", "out_of_ips", "4,0,4"]);
  ipam.removeService("default/z");
  assert.deepEqual([...ipam.settle()], ["default/r"]);
  assert.equal(has(ipam, "r"), "10.0.0.2");
});

test("first and last addresses of CIDRs are spared when the pool says so; those of ranges never", () => {
  const spared = pool("a", ["10.0.0.0/30", "10.1.0.0/31", "10.2.0.1-10.2.0.3"], { allowFirstLastIPs: "No" });
  const ipam = ipamOf([spared], [service("x", { ips: "10.0.0.3" })]);
  assert.equal(counts(ipam), "7,7,0");
  assert.equal(why(ipam, "x"), "reserved");
  const before = ipamOf([spared], [service("x", { held: ["10.0.0.3"] })]);
  assert.equal(has(before, "x"), "10.0.0.3", "one given out before is kept");
});

test("selectors: labels, and namespace and name", () => {
  const pools = [
    pool("blue", ["10.1.0.1"], { serviceSelector: { matchLabels: { color: "blue" } } }),
    pool("shop", ["10.2.0.1"], {
      serviceSelector: { matchLabels: { "io.kubernetes.service.namespace": "shop" } },
    }),
  ];
  const ipam = ipamOf(pools, [service("x", { labels: { color: "blue" } }), service("shop/y"), service("z")]);
  assert.deepEqual(
    [has(ipam, "x"), has(ipam, "shop/y"), why(ipam, "z")],
    ["10.1.0.1", "10.2.0.1", "no_pool"],
  );
  ipam.setService(service("x"));
  ipam.settle();
  assert.deepEqual([has(ipam, "x"), why(ipam, "x")], ["", "no_pool"], "no longer selected: given back");
});

test("of pools that overlap the older works; what the younger gave out stays; then it is resolved", () => {
  const old = pool("old", ["10.0.0.0/29"], { age: 1 });
  const young = pool("young", ["10.0.0.4-10.0.0.20"], { age: 2 });
  const ipam = ipamOf([young, old], [service("x", { held: ["10.0.0.20"] }), service("y")]);
  const conflict = () => poolConditions(ipam.pools[1]!)[0]!;
  assert.equal(conflict().reason, "cidr_overlap");
  assert.match(
    conflict().message,
    /10\.0\.0\.4-10\.0\.0\.20 overlaps 10\.0\.0\.0\/29 of the older pool 'old'/,
  );
  assert.deepEqual([has(ipam, "x"), has(ipam, "y")], ["10.0.0.20", "10.0.0.0"]);
  ipam.setService(service("z", { ips: "10.0.0.19" }));
  ipam.settle();
  assert.equal(why(ipam, "z"), "no_pool");
  ipam.setPools([old, pool("young", ["10.0.0.8-10.0.0.20"], { age: 2, generation: 2 })]);
  ipam.settle();
  assert.deepEqual([conflict().status, has(ipam, "z")], ["False", "10.0.0.19"]);
});

test("a disabled pool gives nothing out and takes nothing back", () => {
  const ipam = ipamOf([pool("a", ["10.0.0.0/24"])], [service("x")]);
  ipam.setPools([pool("a", ["10.0.0.0/24"], { disabled: true, generation: 2 })]);
  ipam.setService(service("y"));
  ipam.settle();
  assert.deepEqual([has(ipam, "x"), why(ipam, "y")], ["10.0.0.0", "no_pool"]);
  ipam.setPools([]);
  ipam.settle();
  assert.equal(has(ipam, "x"), "", "a pool that is gone takes back");
});

test("a block that cannot be read: nothing new, and nobody loses what may have been of it", () => {
  const broken = pool("a", ["10.0.0.0/30", "10.0.0.9-10.0.0.1"]);
  const ipam = ipamOf([broken], [service("x", { held: ["10.0.9.9"] }), service("y")]);
  assert.match(poolConditions(ipam.pools[0]!)[0]!.message, /spec\.blocks\[1\]: .* ends before it begins/);
  assert.deepEqual([has(ipam, "x"), why(ipam, "y")], ["10.0.9.9", "no_pool"]);
  for (const block of [{}, { cidr: "10.0.0.0/8", start: "10.0.0.1" }, { start: "10.0.0.1", stop: "fd00::1" }])
    assert.throws(() => readBlock(block), { code: "E_POOL" });
  assert.throws(() => readBlock({ start: "ten" }), { code: "E_ADDRESS" });
});

test("requested addresses: given exactly, several of them, and refused with the reason", () => {
  const pools = [
    pool("a", ["10.0.0.0/24"]),
    pool("red", ["10.9.0.0/24"], { serviceSelector: { matchLabels: { color: "red" } } }),
  ];
  const ipam = ipamOf(pools, [
    service("any", { age: -1 }),
    service("two", { ips: "10.0.0.0, 10.0.0.7" }),
    service("spec", { spec: { loadBalancerIP: "10.0.0.8" } }),
    service("late", { age: 9, ips: "10.0.0.7" }),
    service("none", { ips: "192.0.2.1" }),
    service("red", { ips: "10.9.0.1" }),
    service("six", { ips: "fd00::1" }),
    service("word", { ips: "ten" }),
    service("part", { ips: "10.0.0.20,ten" }),
  ]);
  assert.equal(has(ipam, "any"), "10.0.0.1", "who requests one goes before those to whom any will do");
  assert.equal(has(ipam, "two"), "10.0.0.0,10.0.0.7");
  assert.equal(has(ipam, "spec"), "10.0.0.8");
  const reasons = ["late", "none", "red", "six", "word", "part"].map((name) => why(ipam, name));
  assert.deepEqual(reasons, [
    "already_allocated",
    "no_pool",
    "pool_selector_mismatch",
    "wrong_family",
    "invalid_ip",
    "invalid_ip",
  ]);
  assert.deepEqual([has(ipam, "word"), has(ipam, "part")], ["", "10.0.0.20"]);
  ipam.setService(service("two", { ips: "10.0.0.0" }));
  ipam.settle();
  assert.deepEqual([has(ipam, "two"), has(ipam, "late")], ["10.0.0.0", "10.0.0.7"]);
  ipam.setService(service("two"));
  ipam.settle();
  assert.equal(has(ipam, "two"), "10.0.0.0", "without a request it keeps what it has");
});

test("families: both, one that must be, one that will do", () => {
  const both = { families: ["IPv4", "IPv6"] as const };
  const dual = [pool("a", ["10.0.0.0/24", "fd00::/64"])];
  assert.equal(has(ipamOf(dual, [service("x", both)]), "x"), "10.0.0.0,fd00::");
  assert.equal(has(ipamOf(dual, [service("x", { families: ["IPv6"] })]), "x"), "fd00::");
  const four = [pool("a", ["10.0.0.0/24"])];
  const required = ipamOf(four, [service("x", both)]);
  assert.deepEqual([has(required, "x"), why(required, "x")], ["10.0.0.0", "no_pool"]);
  const preferred = ipamOf(four, [service("x", { ...both, policy: "PreferDualStack" })]);
  assert.deepEqual([has(preferred, "x"), why(preferred, "x")], ["10.0.0.0", "satisfied"]);
  preferred.setPools([...four, pool("b", ["fd00::5"])]);
  preferred.settle();
  assert.equal(has(preferred, "x"), "10.0.0.0,fd00::5");
  preferred.setService(service("x"));
  preferred.settle();
  assert.equal(has(preferred, "x"), "10.0.0.0");
});

test("a sharing key: one address while ports differ, across namespaces by consent", () => {
  const share = "k";
  const ipam = ipamOf(
    [pool("a", ["10.0.0.0/24"])],
    [
      service("a", { share }),
      service("b", { share, ports: [81], age: 1 }),
      service("c", { share, ports: [81], age: 2 }),
      service("d", { share: "other", ports: [82], age: 3 }),
      service("shop/e", { share, ports: [83], across: "*", age: 4 }),
      service("f", { share, ports: [84], age: 5, spec: { externalTrafficPolicy: "Local" } }),
    ],
  );
  const all = () => ["a", "b", "c", "d", "shop/e", "f"].map((at) => has(ipam, at).replace("10.0.0.", ""));
  assert.deepEqual(all(), ["0", "0", "1", "2", "3", "4"]);
  assert.equal(counts(ipam), "256,251,5");
  ipam.setService(service("a", { share, ips: "10.0.0.2" }));
  ipam.settle();
  assert.deepEqual([has(ipam, "a"), why(ipam, "a")], ["", "already_allocated_incompatible_service"]);
  const consent = ipamOf(
    [pool("a", ["10.0.0.0/24"])],
    [
      service("a", { share, across: "shop" }),
      service("shop/e", { share, ports: [83], across: "default,x", age: 4 }),
    ],
  );
  assert.equal(has(consent, "shop/e"), has(consent, "a"));
  consent.setService(service("a", { share, ports: [83], across: "shop" }));
  consent.settle();
  assert.deepEqual(
    [has(consent, "a"), has(consent, "shop/e")],
    ["10.0.0.1", "10.0.0.0"],
    "who changed moves",
  );
});

test("a service made anew under the name has nothing of the one before", () => {
  const ipam = ipamOf([pool("a", ["10.0.0.0/24"])], [service("x")]);
  ipam.setService({ ...service("x"), uid: "other" });
  ipam.settle();
  assert.equal(has(ipam, "x"), "10.0.0.1");
});

test("a large pool costs nothing to search", () => {
  const many = Array.from({ length: 3000 }, (_, i) => service(`s${i}`, { age: i, families: ["IPv6"] }));
  const ipam = ipamOf([pool("a", ["fd00::/48"])], many);
  assert.equal(has(ipam, "s2999"), "fd00::bb7");
  assert.equal(counts(ipam), `${2n ** 80n},${2n ** 80n - 3000n},3000`);
});
