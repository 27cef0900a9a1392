// SPDX-License-Identifier: Apache-2.0
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
} from "yaml";
import { errorText, WeftError } from "#lib/errors.ts";

/** What every manifest has; the rest is the kind's own. */
export interface ManifestObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Record<string, string>;
    readonly annotations?: Record<string, string>;
  };
}

/** One object of a manifest and where it stands. */
export interface ManifestDocument {
  readonly file: string;
  /** 1, 2, … within the file; empty documents count. */
  readonly number: number;
  /** Line the object begins at. */
  readonly line: number;
  readonly object: ManifestObject;
  /** Line of a field, `spec.ingress[0]`, or of as much of its path as there is. */
  lineOf(field: string): number;
}

/** Reads the objects of a file's text. Lists (`kind: List`) are taken apart. Pure. @throws WeftError E_MANIFEST with document and field */
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
    for (const { object, path } of flatten(value, [])) {
      const find = (field: string) => lineAt(document, lineCounter, [...path, ...fieldParts(field)]);
      const start = path.length === 0 ? line : lineAt(document, lineCounter, path);
      out.push({
        file,
        number,
        line: start,
        object: checked(object, { file, number }),
        lineOf: find,
      });
    }
  }
  return out;
}

type Path = readonly (string | number)[];

function flatten(value: unknown, path: Path): { readonly object: unknown; readonly path: Path }[] {
  if (!isRecord(value) || value["apiVersion"] !== "v1" || value["kind"] !== "List")
    return [{ object: value, path }];
  const { items } = value;
  return Array.isArray(items) ? items.flatMap((item, i) => flatten(item, [...path, "items", i])) : [];
}

/** `spec.ingress[0]["a.b/c"]` taken apart. */
function fieldParts(field: string): Path {
  const parts = field.matchAll(/\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|([^.[\]]+)/g);
  return [...parts].map(
    ([, quoted, index, plain]) => quoted ?? (index === undefined ? plain! : Number(index)),
  );
}

/** Line of the deepest node there is on the way. */
function lineAt(document: Document.Parsed, lines: LineCounter, path: Path): number {
  let node: unknown = document.contents;
  let offset = (document.contents as Node | null)?.range?.[0] ?? document.range[0];
  for (const part of path) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => (isScalar(key) ? key.value : key) === part);
      if (!pair) break;
      offset = (pair.key as Node).range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      const item = node.items[Number(part)] as Node | undefined;
      if (!item) break;
      offset = item.range?.[0] ?? offset;
      node = item;
    } else {
      break;
    }
  }
  return lines.linePos(offset).line;
}

function checked(value: unknown, { file, number }: { file: string; number: number }): ManifestObject {
  const fail = (field: string, problem: string) =>
    new WeftError("E_MANIFEST", `${file}, document ${number}: ${field}: ${problem}`);
  if (!isRecord(value)) throw fail("document", "not an object");
  for (const field of ["apiVersion", "kind"]) {
    if (value[field] === undefined) throw fail(field, "missing");
    if (typeof value[field] !== "string" || value[field] === "") throw fail(field, "not a text");
  }
  const metadata = value["metadata"];
  if (!isRecord(metadata)) throw fail("metadata", metadata === undefined ? "missing" : "not an object");
  for (const field of ["name", "namespace"]) {
    const text = metadata[field];
    if (text !== undefined && typeof text !== "string") throw fail(`metadata.${field}`, "not a text");
  }
  if (!metadata.name) throw fail("metadata.name", "missing");
  return value as unknown as ManifestObject;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `Deployment/web in file.yaml, document 3`: for messages. */
export function documentText({ file, number, object }: ManifestDocument): string {
  return `${file}, document ${number} (${object.kind} ${object.metadata.name})`;
}
