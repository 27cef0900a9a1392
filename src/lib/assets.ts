// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { WeftError } from "./errors.ts";

let root: string | undefined;

/** The folder Weft lies in: a checkout, or where it is installed. `WEFT_ROOT` overrides. */
export function installRoot(): string {
  root ??= process.env["WEFT_ROOT"] ?? findRoot();
  return root;
}

function findRoot(): string {
  for (let at = import.meta.dirname; at !== dirname(at); at = dirname(at)) {
    if (existsSync(join(at, "build/bpf")) || existsSync(join(at, "package.json"))) return at;
  }
  throw new WeftError("E_INSTALL", `no Weft installation around ${import.meta.dirname}`, {
    hint: "run `npm run build` in the checkout, or set WEFT_ROOT",
  });
}

function asset(kind: string, path: string): string {
  const full = join(installRoot(), path);
  if (!existsSync(full)) {
    throw new WeftError("E_INSTALL", `${kind} ${full} is missing`, { hint: "run `npm run build`" });
  }
  return full;
}

/** A compiled BPF object by its source's stem: `pod` for `bpf/pod.bpf.c`. @throws WeftError E_INSTALL */
export function bpfObject(name: string): string {
  return asset("BPF object", `build/bpf/${name}.bpf.o`);
}

/** A native program: `weft-cni`, `pod-exec`. @throws WeftError E_INSTALL */
export function nativeProgram(name: string): string {
  return asset("program", `build/native/${name}`);
}

/**
 * The file Node runs for one of our programs or worker threads (`agent`, `lab-node`, `flows-worker`): the bundle when this very
 * process runs from a bundle, else the source.
 * @throws WeftError E_INSTALL
 */
export function entryPoint(name: string, source: string): string {
  const bundled = import.meta.filename.endsWith(".mjs");
  return asset("program", bundled ? `dist/${name}.mjs` : source);
}

/**
 * Node's flags for all our programs. The young generation stays small: with V8's default it grows by 12 MB at the first burst of work and is
 * never given back.
 */
export const nodeFlags = ["--disable-warning=ExperimentalWarning", "--max-semi-space-size=2"] as const;

/** Node's arguments for one of our programs, before its own. */
export function nodeArguments(name: string, source: string): string[] {
  return [...nodeFlags, entryPoint(name, source)];
}
