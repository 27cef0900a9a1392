// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";

const anyName = "[-0-9_a-z]+(?:\\.[-0-9_a-z]+)*";

/** The source of a regular expression for a name in which `*` stands for any part of a name; case does not count. */
function patternSource(text: string, field: string): string {
  const name = text.trim().toLowerCase().replace(/\.$/, "");
  if (name === "" || name.endsWith(".") || !/^[-_.*0-9a-z]+$/.test(name)) {
    throw new WeftError("E_FILTER", `${field}: "${text}" is not a name pattern`, {
      hint: "letters, digits, - _ . and * for any part",
    });
  }
  return name.replaceAll(".", "\\.").replaceAll("*", "[-_.0-9a-z]*");
}

/** Matches names that any of the patterns (`k8s*`, `*.example.com`) describes. @throws WeftError E_FILTER */
export function namePattern(patterns: readonly string[], field: string): RegExp {
  return new RegExp(`^(?:${patterns.map((text) => patternSource(text, field)).join("|")})$`, "i");
}

/** Matches `cluster/node` names by `[cluster/]node` patterns; an empty part matches any. @throws WeftError E_FILTER */
export function nodePattern(patterns: readonly string[], field: string): RegExp {
  const sources = patterns.map((text) => {
    const parts = text.split("/");
    if (text === "" || parts.length > 2)
      throw new WeftError("E_FILTER", `${field}: "${text}" is not [cluster/]node`);
    const [cluster, node] = parts.length === 2 ? [parts[0]!, parts[1]!] : ["", parts[0]!];
    return `${cluster === "" ? anyName : patternSource(cluster, field)}/${node === "" ? anyName : patternSource(node, field)}`;
  });
  return new RegExp(`^(?:${sources.join("|")})$`, "i");
}
