// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { errorOfAnswer, isNamespaceGoing } from "./errors.ts";

const refusal = (status: number, message: string) =>
  errorOfAnswer("POST /x", { status, body: JSON.stringify({ message }), retryAfter: undefined });

test("a namespace that goes is told from one without rights, and from a kind that is not installed", () => {
  const terminating =
    'x "a" is forbidden: unable to create new content in namespace n because it is being terminated';
  assert.equal(isNamespaceGoing(refusal(403, terminating)), true);
  assert.equal(isNamespaceGoing(refusal(404, 'namespaces "n" not found')), true);
  assert.equal(isNamespaceGoing(refusal(403, 'x is forbidden: User "u" cannot create resource "x"')), false);
  assert.equal(isNamespaceGoing(refusal(404, "404 page not found")), false);
});
