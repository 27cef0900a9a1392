// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { stringify } from "yaml";
import { junk, mangled } from "#kit/junk.ts";
import fc from "#kit/property.ts";
import { WeftError } from "#lib/errors.ts";
import { agentConfigSchema, parseAgentConfig } from "./config.ts";

/** Reads it, or refuses it with the file's name and, of a setting, its path. */
function readsOrSaysWhy(text: string): void {
  try {
    const config = parseAgentConfig(text, "agent.yaml", { NODE_NAME: "n1" });
    assert.deepEqual(agentConfigSchema.parse(config), config, "what was read is a configuration");
  } catch (error) {
    assert.ok(error instanceof WeftError, String(error));
    assert.equal(error.code, "E_CONFIG");
    assert.match(error.message, /^agent\.yaml: \S/);
  }
}

const settings = Object.keys(agentConfigSchema.shape);
const inner =
  "enabled ports cidrs apiServer neverLockOut enforcement audit denyResponse include exclude host port listen";
const value = junk(
  [...settings, ...inner.split(" ")],
  ["tunnel", "native", "dual", "always", "10.0.0.0/8", "0.0.0.0:80", "/run/x", 22, 65_536, "icmp"],
);

test("whatever is written of a setting, it is read or refused by name", () => {
  const list = fc.dictionary(fc.constantFrom(...settings, "__proto__"), value, { minKeys: 1, maxKeys: 4 });
  fc.assert(
    fc.property(fc.oneof(list, value), (config) => readsOrSaysWhy(stringify(config) ?? "")),
    { numRuns: 500 },
  );
});

test("a wrong setting is named", () => {
  const wrong = fc.constantFrom(...settings.filter((name) => name !== "nodeName"));
  const property = fc.property(wrong, (name) => {
    const text = stringify({ [name]: { unknwon: [] } });
    const named = new RegExp(`agent\\.yaml: ${name}[:.]`);
    assert.throws(() => parseAgentConfig(text, "agent.yaml", { NODE_NAME: "n1" }), named);
  });
  fc.assert(property, { numRuns: 100 });
});

const good = [
  "nodeName: n1\nrouting: native\nfamilies: dual\nnativeRoutingCidrs: [10.0.0.0/8, fd00::/8]\n",
  "policy: {enforcement: always, audit: false, denyResponse: icmp}\nhostFirewall:\n  enabled: true\n  neverLockOut: {ports: [22], cidrs: [192.0.2.0/24]}\n",
  "a: &a [x, x]\nb: &b [*a, *a]\nidentityLabels:\n  include: *b\n",
];

test("whatever happens to the file, it is read or refused", () => {
  fc.assert(fc.property(mangled(good), readsOrSaysWhy), { numRuns: 500 });
  readsOrSaysWhy("nodeName: *nobody\n");
});
