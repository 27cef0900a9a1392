// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { bpfError } from "#kernel/bpf/sys.ts";
import { VerifierError, verifierError } from "#kernel/bpf/verifier-error.ts";

function errorFor(log: string) {
  return verifierError(
    "from_pod",
    bpfError(13, "load program from_pod"),
    new TextEncoder().encode(`${log}\0\0`),
  );
}

test("the last line that says something, with the source line before it", () => {
  const error = errorFor(
    [
      "func#0 @0",
      "; int x = *p; @ pod.bpf.c:10",
      "0: (61) r0 = *(u32 *)(r1 +0)",
      "; return *q; @ pod.bpf.c:12",
      "1: (79) r0 = *(u64 *)(r2 +0)",
      "R2 !read_ok",
      "processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0",
      "",
    ].join("\n"),
  );
  assert.ok(error instanceof VerifierError);
  assert.equal(
    error.message,
    "load program from_pod: EACCES: R2 !read_ok (at: return *q; @ pod.bpf.c:12) (5 log line(s) omitted)",
  );
  assert.match(error.log, /^func#0[\s\S]*peak_states 0 mark_read 0$/);
});

test("one line stands alone; without a log the kernel's own words", () => {
  assert.equal(
    errorFor("Global function f() doesn't return scalar\n").message,
    "load program from_pod: EACCES: Global function f() doesn't return scalar",
  );
  const bare = errorFor("");
  assert.equal(bare.code, "E_SYSCALL");
  assert.equal(bare.message, "load program from_pod: permission denied");
});
