// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type ManifestDocument, parseManifest } from "#k8s/manifest.ts";
import { errorText, WeftError } from "#lib/errors.ts";

const MAX_BYTES = 64 << 20;
const MAX_FILES = 10_000;

/**
 * Reads manifests: files, directories (their *.yaml, *.yml and *.json, not deeper), `-` for stdin. Lists
 * (`kind: List`) are taken apart.
 * @throws WeftError E_MANIFEST naming file, document and field; nothing is returned of anything then
 */
export function loadManifests(paths: readonly string[]): ManifestDocument[] {
  return paths
    .flatMap(expandPath)
    .flatMap((path) => parseManifest(path === "-" ? "stdin" : path, readText(path)));
}

function expandPath(path: string): string[] {
  if (path === "-") return [path];
  let isDirectory: boolean;
  try {
    isDirectory = statSync(path).isDirectory();
  } catch {
    throw new WeftError("E_MANIFEST", `${path}: there is no such file or directory`);
  }
  if (!isDirectory) return [path];
  const files = readdirSync(path)
    .filter((name) => /\.(ya?ml|json)$/.test(name))
    .sort()
    .map((name) => join(path, name));
  if (files.length === 0)
    throw new WeftError("E_MANIFEST", `${path}: no .yaml, .yml or .json file in this directory`);
  if (files.length > MAX_FILES) throw new WeftError("E_MANIFEST", `${path}: more than ${MAX_FILES} files`);
  return files;
}

/** stdin can be read once, and `up` reads its manifests twice: before anything is made and when the API server answers. */
let stdin: string | undefined;

function readStdin(): string {
  stdin ??= readFileSync(0, "utf8");
  return stdin;
}

function readText(path: string): string {
  try {
    const text = path === "-" ? readStdin() : readFileSync(path, "utf8");
    if (text.length > MAX_BYTES)
      throw new WeftError("E_MANIFEST", `${path}: longer than ${MAX_BYTES >> 20} MiB`);
    return text;
  } catch (cause) {
    if (cause instanceof WeftError) throw cause;
    throw new WeftError("E_MANIFEST", `${path}: cannot be read: ${errorText(cause)}`, { cause });
  }
}
