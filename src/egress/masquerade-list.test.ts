// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { masqueradeExemptions } from "#egress/masquerade-list.ts";
import { masqueradeRows } from "#egress/masquerade-source.ts";

const prefixes = (text: string) => masqueradeExemptions(text).map(({ prefix }) => prefix);

test("a list as Kubernetes' documentation has it, and as JSON", () => {
  const yaml = `
nonMasqueradeCIDRs:
  - 10.0.0.0/8
  - 2001:db8:1::/48
masqLinkLocal: false
resyncInterval: 60s
`;
  const expected = ["10.0.0.0/8", "2001:db8:1::/48", "169.254.0.0/16", "fe80::/10"];
  assert.deepEqual(prefixes(yaml), expected);
  const json = { nonMasqueradeCIDRs: ["10.0.0.0/8", "2001:db8:1::/48"], masqLinkLocal: false };
  assert.deepEqual(prefixes(JSON.stringify(json)), expected);
});

test("link-local destinations are exempt unless the list says otherwise, in each family for itself", () => {
  assert.deepEqual(prefixes("nonMasqueradeCIDRs: []"), ["169.254.0.0/16", "fe80::/10"]);
  assert.deepEqual(prefixes("masqLinkLocal: true"), ["fe80::/10"]);
  assert.deepEqual(prefixes("masqLinkLocalIPv6: true"), ["169.254.0.0/16"]);
  assert.deepEqual(prefixes("{masqLinkLocal: true, masqLinkLocalIPv6: true}"), []);
});

test("an empty configuration means the defaults, a list with nothing in it does not", () => {
  for (const text of ["", "\n", "# nothing\n", "null"]) {
    const found = masqueradeExemptions(text);
    assert.equal(found.filter(({ origin }) => origin === "default").length, 11, JSON.stringify(text));
    assert.ok(found.some(({ prefix }) => prefix === "192.168.0.0/16"));
  }
  assert.deepEqual(prefixes("nonMasqueradeCIDRs:\n"), ["169.254.0.0/16", "fe80::/10"]);
});

test("a prefix counts once, and bits of hosts are cut off", () => {
  const found = masqueradeExemptions("nonMasqueradeCIDRs: [10.1.2.3/8, 10.0.0.0/8, 169.254.0.0/16]");
  assert.deepEqual(
    found.map(({ prefix, origin }) => `${prefix} ${origin}`),
    ["10.0.0.0/8 list", "169.254.0.0/16 list", "fe80::/10 link-local"],
  );
});

test("what is wrong is said, and nothing of it counts", () => {
  const broken = [
    ["nonMasqueradeCIDRs: [10.0.0.0/33]", /nonMasqueradeCIDRs/],
    ["nonMasqueradeCIDRs: [shop.example]", /nonMasqueradeCIDRs/],
    ["nonMasqueradeCIDRs: 10.0.0.0/8", /nonMasqueradeCIDRs/],
    ["nonMasqueradeCIDRs: [1]", /nonMasqueradeCIDRs\.0/],
    ["masqLinkLocal: perhaps", /masqLinkLocal/],
    ["[10.0.0.0/8]", /it: /],
    ["nonMasqueradeCIDRs: [10.0.0.0/8", /./],
    ["just words", /it: /],
  ] as const;
  for (const [text, said] of broken) assert.throws(() => masqueradeExemptions(text), said, text);
});

test("of ConfigMaps, that of ip-masq-agent speaks, by either of its keys", () => {
  const named = (name: string, data?: Record<string, string>) => ({
    metadata: { name },
    ...(data && { data }),
  });
  const list = "nonMasqueradeCIDRs: [10.0.0.0/8]";
  const rows = (object: Parameters<typeof masqueradeRows>[0]) =>
    masqueradeRows(object).map((row) => row.prefix);
  assert.equal(rows(named("ip-masq-agent", { config: list }))[0], "10.0.0.0/8");
  assert.equal(rows(named("ip-masq-agent", { "ip-masq-agent": list }))[0], "10.0.0.0/8");
  assert.ok(rows(named("ip-masq-agent")).includes("172.16.0.0/12" as never));
  assert.deepEqual(rows(named("other", { config: list })), []);
});
