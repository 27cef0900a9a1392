// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { inNamespace } from "./case.ts";
import { cases } from "./cases.ts";
import type { Target } from "./target.ts";

/** Runs every case against a target. Against the embedded one a known difference must be as it is written down. */
export function contractTests(start: () => Promise<Target>): void {
  let target: Target;
  let made = 0;
  before(async () => {
    target = await start();
  });
  after(() => target?.[Symbol.asyncDispose]());
  for (const { name, run, embedded } of cases) {
    test(name, async () => {
      const namespace = `contract-${++made}`;
      const metadata = { name: namespace };
      const { code } = await target.call("POST", "/api/v1/namespaces", {
        apiVersion: "v1",
        kind: "Namespace",
        metadata,
      });
      assert.equal(code, 201);
      const expected = target.name === "embedded" && embedded ? embedded.run : run;
      await expected(inNamespace(target, namespace));
    });
  }
}
