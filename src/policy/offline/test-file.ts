// SPDX-License-Identifier: Apache-2.0
import { type Document, isMap, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import { errorText, WeftError } from "#lib/errors.ts";
import { type PortQuestion, parsePort, portText } from "#model/port.ts";

/** What people expect of their policies. */
export interface PolicyTestFile {
  readonly file: string;
  /** Files and directories that describe the cluster, relative to the test file. */
  readonly manifests: readonly string[];
  /** Of names without one. */
  readonly namespace: string;
  /** File of the agents' settings, relative to the test file. */
  readonly config?: string;
  readonly cases: readonly PolicyTestCase[];
}

export interface PolicyTestCase {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  readonly port: PortQuestion;
  readonly expect: "allow" | "deny";
  readonly line: number;
}

/**
 * Reads a test file: `tests` is a list of `from A to B on PORT: allow` (or `deny`), or of objects with from, to, port (a list in any of them means each
 * of them), expect and name.
 * @throws WeftError E_TEST with file and line
 */
export function parseTestFile(text: string, file: string): PolicyTestFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  const broken = document.errors[0];
  if (broken) throw failure(file, broken.linePos?.[0].line ?? 1, broken.message.split("\n")[0]!);
  const value = contentOf(document, file);
  if (!isRecord(value)) throw failure(file, 1, "not an object with tests");
  const { manifests = [], namespace = "default", config, tests, apiVersion, kind, metadata, ...rest } = value;
  void [apiVersion, kind, metadata];
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) throw failure(file, 1, `${unknown}: unknown field`);
  if (typeof namespace !== "string") throw failure(file, 1, "namespace: not a text");
  if (config !== undefined && typeof config !== "string") throw failure(file, 1, "config: not a file");
  const paths = listOf(manifests);
  if (!Array.isArray(tests) || tests.length === 0)
    throw failure(file, 1, "tests: must be a list of at least one");
  const list = isMap(document.contents) ? document.contents.get("tests") : undefined;
  const lineOf = (index: number) => {
    const node = isSeq(list) ? (list.items[index] as Node | undefined) : undefined;
    return node?.range ? lines.linePos(node.range[0]).line : 1;
  };
  return {
    file,
    manifests: paths,
    namespace,
    ...(config !== undefined && { config }),
    cases: tests.flatMap((one: unknown, i) => casesOf(one, file, lineOf(i))),
  };
}

function contentOf(document: Document, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw failure(file, 1, errorText(cause));
  }
}

function failure(file: string, line: number, problem: string): WeftError {
  return new WeftError("E_TEST", `${file}:${line}: ${problem}`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function listOf(value: unknown): string[] {
  return (Array.isArray(value) ? value : [value]).map(String);
}

const sentence = /^from (\S+) to (\S+) on (?:port )?(\S+)$/;

function casesOf(entry: unknown, file: string, line: number): PolicyTestCase[] {
  const fields = isRecord(entry) ? spoken(entry) : undefined;
  if (!fields)
    throw failure(
      file,
      line,
      "must be `from A to B on PORT: allow` or an object with from, to, port, expect",
    );
  const { name, from, to, port, expect, ...rest } = fields;
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) throw failure(file, line, `${unknown}: unknown field`);
  for (const [field, given] of Object.entries({ from, to, port })) {
    const all = Array.isArray(given) ? given : [given];
    if (all.length === 0 || all.some((one) => typeof one !== "string" && typeof one !== "number"))
      throw failure(
        file,
        line,
        `${field}: ${given === undefined ? "is required" : "must be a text or a list of texts"}`,
      );
  }
  if (expect !== "allow" && expect !== "deny") throw failure(file, line, "expect: must be allow or deny");
  const ports = listOf(port).map((text) => {
    try {
      return parsePort(text);
    } catch (thrown) {
      throw failure(file, line, `port: ${(thrown as Error).message}`);
    }
  });
  const said = (source: string, target: string, one: PortQuestion) =>
    `from ${source} to ${target} on ${portText(one)}: ${expect}`;
  return listOf(from).flatMap((source) =>
    listOf(to).flatMap((target) =>
      ports.map((one) => ({
        name: typeof name === "string" ? `${name}: ${said(source, target, one)}` : said(source, target, one),
        from: source,
        to: target,
        port: one,
        expect,
        line,
      })),
    ),
  );
}

/** `{"from A to B on 80/TCP": "allow"}` taken apart; an object stays what it is; undefined: a sentence that is not right. */
function spoken(entry: Record<string, unknown>): Record<string, unknown> | undefined {
  const [first, ...more] = Object.entries(entry);
  const [, from, to, port] = (first && sentence.exec(first[0])) ?? [];
  if (first && more.length === 0 && /\s/.test(first[0]) && from === undefined) return undefined;
  if (from === undefined || more.length > 0) return entry;
  return { from, to, port, expect: first![1] };
}
