// SPDX-License-Identifier: Apache-2.0

export type SpecStatus = "passed" | "failed" | "skipped";

export interface SpecResult {
  /** `[sig-network] Services should serve a basic endpoint from pods [Conformance]`. */
  readonly name: string;
  readonly status: SpecStatus;
  readonly seconds: number;
  /** Why it was skipped while it ran, or what failed; empty when there is nothing to say. */
  readonly message: string;
}

/** The specs of a JUnit file as ginkgo writes it. Hooks that are no specs count only when they fail. */
export function parseJunit(xml: string): SpecResult[] {
  return [...xml.matchAll(/<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)].flatMap(
    ([, head, body = ""]) => {
      const full = attribute(head!, "name");
      const status = statusOf(attribute(head!, "status"));
      if (!full.startsWith("[It]") && status !== "failed") return [];
      const [, detail = ""] = /<(?:skipped|failure|error) ([^>]*)>/.exec(body) ?? [];
      return {
        name: full.replace(/^\[It\] /, ""),
        status,
        seconds: Number(attribute(head!, "time")) || 0,
        message: attribute(detail, "message").replace(/^skipped( - )?/, ""),
      };
    },
  );
}

/** A JUnit file of those cases that belong to `suite`: the whole one has every spec of Kubernetes. */
export function selectCases(xml: string, suite: string, keep: (name: string) => boolean): string {
  const cases = [...xml.matchAll(/<testcase ([^>]*?)(?:\/>|>[\s\S]*?<\/testcase>)/g)]
    .filter(([, head]) => keep(attribute(head!, "name").replace(/^\[It\] /, "")))
    .map(([text]) => text);
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites><testsuite name="${suite}">\n${cases.join("\n")}\n</testsuite></testsuites>\n`;
}

/** Panicked, interrupted, timed out: all of these are failures. */
function statusOf(text: string): SpecStatus {
  if (text === "passed") return "passed";
  return text === "skipped" || text === "pending" ? "skipped" : "failed";
}

function attribute(text: string, name: string): string {
  const [, value = ""] = new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(text) ?? [];
  const named: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return value.replace(
    /&(?:#(x?)([0-9a-fA-F]+)|(\w+));/g,
    (whole, hex: string, code: string, entity: string) =>
      entity ? (named[entity] ?? whole) : String.fromCodePoint(Number.parseInt(code, hex ? 16 : 10)),
  );
}
