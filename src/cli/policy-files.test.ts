// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { checkPolicyFiles } from "./policy-files.ts";

const policy = (name: string, ingress: object) =>
  JSON.stringify({
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    metadata: { name },
    spec: { endpointSelector: {}, ingress: [ingress] },
  });
const ports = [{ port: "80", protocol: "TCP" }];

test("a policy that cannot be enforced is refused by file, document and field; others pass", () => {
  const dir = mkdtempSync(join(tmpdir(), "weft-policies-"));
  try {
    const file = join(dir, "policies.yaml");
    const good = policy("good", { toPorts: [{ ports }] });
    writeFileSync(file, good);
    checkPolicyFiles([file]);
    writeFileSync(file, `${good}\n---\n${policy("l7", { toPorts: [{ ports, rules: { http: [{}] } }] })}\n`);
    assert.throws(() => checkPolicyFiles([file]), {
      code: "E_POLICY_UNSUPPORTED",
      message: /policies\.yaml, document 2.*spec\.ingress\[0\]\.toPorts\[0\]\.rules\.http/,
    });
    writeFileSync(file, policy("malformed", { toPorts: 7 }));
    checkPolicyFiles([file]);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
