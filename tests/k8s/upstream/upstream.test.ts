// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseJunit, selectCases } from "./junit.ts";
import { conformanceDocument } from "./report.ts";
import { suiteResults } from "./run-suite.ts";
import { skipPattern, skipReason, skipRules, suiteOf, suites } from "./suites.ts";

const names = {
  basic: "[sig-network] Services should serve a basic endpoint from pods [Conformance]",
  deny: "[sig-network] Netpol NetworkPolicy should support a &#39;default-deny-ingress&#39; policy",
  sctp: "[sig-network] Netpol [Feature:SCTPConnectivity] should enforce policy based on Ports",
  zones: "[sig-network] Topology Hints should distribute endpoints evenly",
  dual: "[sig-network] [Feature:IPv6DualStack] should create pod, add ipv6 and ipv4 ip to pod ips",
} as const;

const xml = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites><testsuite name="e2e">
<testcase name="[SynchronizedBeforeSuite]" classname="e2e" status="passed" time="0.1"></testcase>
<testcase name="[It] [sig-storage] Volumes should mount" classname="e2e" status="skipped" time="0"><skipped message="skipped"></skipped></testcase>
<testcase name="[It] ${names.basic}" classname="e2e" status="passed" time="12.5"></testcase>
<testcase name="[It] ${names.deny}" classname="e2e" status="timedout" time="61"><error message="too slow &amp; late" type="timedout">x</error></testcase>
<testcase name="[It] ${names.sctp}" classname="e2e" status="skipped" time="0"><skipped message="skipped"></skipped></testcase>
<testcase name="[It] ${names.zones}" classname="e2e" status="skipped" time="1"><skipped message="skipped - need 3 zones"></skipped></testcase>
<testcase name="[It] ${names.dual}" classname="e2e" status="passed" time="3" />
</testsuite></testsuites>`;

const byName = (name: string) => suites.find((suite) => suite.name === name)!;

test("a JUnit file becomes results; a spec that timed out has failed", () => {
  const [, basic, deny, , zones, dual] = parseJunit(xml);
  assert.deepEqual(basic, { name: names.basic, status: "passed", seconds: 12.5, message: "" });
  assert.equal(deny!.name, names.deny.replaceAll("&#39;", "'"));
  assert.equal(deny!.status, "failed");
  assert.equal(deny!.message, "too slow & late");
  assert.equal(zones!.message, "need 3 zones");
  assert.equal(dual!.status, "passed");
});

test("every spec belongs to one suite; specs of others to none", () => {
  assert.equal(suiteOf(names.basic)?.name, "conformance");
  assert.equal(suiteOf(names.deny)?.name, "netpol");
  assert.equal(suiteOf(names.sctp)?.name, "netpol");
  assert.equal(suiteOf(names.zones)?.name, "services");
  assert.equal(suiteOf(names.dual)?.name, "dual-stack");
  assert.equal(suiteOf("[sig-storage] Volumes should mount"), undefined);
  assert.equal(suiteOf("[sig-network] [Feature:IPv6DualStack] x [Conformance]")?.name, "conformance");
});

test("what is skipped by name has a reason, and ginkgo skips the same", () => {
  assert.match(skipReason(names.sctp)!, /SCTP/);
  assert.equal(skipReason(names.basic), undefined);
  assert.ok(skipRules.every(({ reason }) => reason !== ""));
  assert.match(names.sctp, new RegExp(skipPattern([byName("netpol")])));
  assert.match(names.basic, new RegExp(skipPattern([byName("services")])));
  assert.doesNotMatch(names.zones, new RegExp(skipPattern([byName("services")])));
  assert.doesNotMatch(names.basic, new RegExp(skipPattern([byName("conformance"), byName("services")])));
  assert.match(names.dual, new RegExp(skipPattern([byName("conformance"), byName("services")])));
});

test("the document says what became of each spec, the same whatever order they ran in", () => {
  const shuffled = xml.split("\n").reverse().join("\n");
  const write = (text: string) =>
    conformanceDocument(
      new Map(
        suites.map((suite) => [
          suite,
          suiteResults(
            selectCases(text, suite.name, (name) => suiteOf(name) === suite),
            suite,
          ),
        ]),
      ),
    );
  assert.equal(write(xml), write(shuffled));
  assert.match(write(xml), /^\| Services should serve a basic endpoint from pods \| passed \| {2}\|$/m);
  assert.match(
    write(xml),
    /^\| Netpol \[Feature:SCTPConnectivity\] .* \| skipped \| the kernel .*SCTP sockets \|$/m,
  );
  assert.match(write(xml), /^\| Topology Hints .* \| skipped \| need 3 zones \|$/m);
  assert.match(write(xml), /^\| Netpol: .* \| 0 \| 1 \| 1 \|$/m);
  assert.equal(conformanceDocument(new Map(), write(xml)), write(xml));
});
