// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { type ObjectSpec, parseObject } from "#kernel/bpf/spec.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Compiles a test's own BPF source (path from the root of the checkout) when it changed, and returns the object's bytes. */
export function compileBpf(source: string): Uint8Array {
  const env = { ...process.env, OUT: "build/test-bpf" };
  execFileSync("sh", ["tools/build-bpf.sh", source], {
    cwd: root,
    env,
    stdio: ["ignore", "ignore", "inherit"],
  });
  return readFileSync(`${root}/build/test-bpf/${basename(source, ".c")}.o`);
}

export function compiledSpec(source: string): ObjectSpec {
  return parseObject(compileBpf(source));
}
