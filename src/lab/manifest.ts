// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { LineCounter, parseAllDocuments } from "yaml";
import { errorText, WeftError } from "#lib/errors.ts";
import type { KubeObject } from "./objects.ts";

/** One object of a manifest and where it stands. */
export interface ManifestDocument {
  readonly file: string;
  /** 1, 2, … within the file; empty documents count. */
  readonly number: number;
  /** Line the document begins at. */
  readonly line: number;
  readonly object: KubeObject;
}

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

export function parseManifest(file: string, text: string): ManifestDocument[] {
  const lineCounter = new LineCounter();
  const out: ManifestDocument[] = [];
  const documents = parseAllDocuments(text, { lineCounter, uniqueKeys: true });
  if (!Array.isArray(documents)) return out;
  for (const [i, document] of documents.entries()) {
    const number = i + 1;
    const line = lineCounter.linePos(document.contents?.range?.[0] ?? document.range[0]).line;
    const broken = document.errors[0];
    if (broken) {
      const at = broken.linePos?.[0];
      const place = at ? `line ${at.line}, column ${at.col}` : `line ${line}`;
      throw new WeftError(
        "E_MANIFEST",
        `${file}, document ${number}, ${place}: ${broken.message.split("\n")[0]?.replace(/ at line .*$/, "")}`,
      );
    }
    let value: unknown;
    try {
      value = document.toJS({ maxAliasCount: 1000 });
    } catch (cause) {
      throw new WeftError("E_MANIFEST", `${file}, document ${number}: ${errorText(cause)}`, { cause });
    }
    if (value === null || value === undefined) continue;
    for (const object of flatten(value))
      out.push({ file, number, line, object: checked(object, { file, number }) });
  }
  return out;
}

function flatten(value: unknown): unknown[] {
  if (!isRecord(value) || value.apiVersion !== "v1" || value.kind !== "List") return [value];
  return Array.isArray(value.items) ? value.items.flatMap(flatten) : [];
}

function checked(value: unknown, { file, number }: { file: string; number: number }): KubeObject {
  const fail = (field: string, problem: string) =>
    new WeftError("E_MANIFEST", `${file}, document ${number}: ${field}: ${problem}`);
  if (!isRecord(value)) throw fail("document", "not an object");
  for (const field of ["apiVersion", "kind"]) {
    if (value[field] === undefined) throw fail(field, "missing");
    if (typeof value[field] !== "string" || value[field] === "") throw fail(field, "not a text");
  }
  const metadata = value.metadata;
  if (!isRecord(metadata)) throw fail("metadata", metadata === undefined ? "missing" : "not an object");
  for (const field of ["name", "namespace"]) {
    const text = metadata[field];
    if (text !== undefined && typeof text !== "string") throw fail(`metadata.${field}`, "not a text");
  }
  if (!metadata.name) throw fail("metadata.name", "missing");
  return value as unknown as KubeObject;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `Deployment/web in file.yaml, document 3`: for messages. */
export function documentText({ file, number, object }: ManifestDocument): string {
  return `${file}, document ${number} (${object.kind} ${object.metadata.name})`;
}
