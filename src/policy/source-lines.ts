// SPDX-License-Identifier: Apache-2.0
import { hash32 } from "#lib/hash.ts";
import { peerText } from "./peer.ts";
import type { Rule } from "./rule.ts";
import { selectorText } from "./selector.ts";

/**
 * Annotation that says where the rules of a policy object were written: `shop.yaml:33 spec.ingress[0]=39#1x2y3z …`, the file and the line of the
 * object, then of each rule its field, its line and a hash of what it said: a line is believed only of a rule that still says it.
 */
export const sourceAnnotation = "weft.io/source";

/** Objects of the API may carry 256 KiB of annotations. */
const maxLength = 64 << 10;

export interface SourceLines {
  readonly file: string;
  /** Line the object begins at. */
  readonly line: number;
  lineOf(field: string): number;
}

/** The annotation's value for rules just compiled from a file; undefined: too long. */
export function sourceLinesText(
  rules: readonly Rule[],
  { file, line, lineOf }: SourceLines,
): string | undefined {
  const parts = rules.flatMap((rule) => {
    const { field } = rule.origin;
    return field === undefined ? [] : [`${field}=${lineOf(field)}#${ruleHash(rule)}`];
  });
  const text = [`${encodeURI(file)}:${line}`, ...new Set(parts)].join(" ");
  return text.length > maxLength ? undefined : text;
}

/** Rules that know file and line, as far as the annotation says so. */
export function withSourceLines(rules: readonly Rule[], annotation: string | undefined): readonly Rule[] {
  if (annotation === undefined) return rules;
  const [object, ...parts] = annotation.split(" ");
  const [, encoded, line] = /^(.+):(\d+)$/.exec(object!) ?? [];
  if (encoded === undefined) return rules;
  const file = decoded(encoded);
  const lines = new Map(parts.map((part) => [part.replace(/=\d+#/, "#"), /=(\d+)#/.exec(part)?.[1]]));
  return rules.map((rule) => {
    const own = lines.get(`${rule.origin.field}#${ruleHash(rule)}`);
    const origin = { ...rule.origin, objectSource: `${file}:${line}` };
    return { ...rule, origin: own === undefined ? origin : { ...origin, source: `${file}:${own}` } };
  });
}

function decoded(text: string): string {
  try {
    return decodeURI(text);
  } catch {
    return text;
  }
}

/** Of what a rule says, however it was written: defaults filled in, selectors in one order. */
function ruleHash({ direction, tier, priority, action, subject, peers, ports, references }: Rule): string {
  const said = [
    direction,
    tier,
    priority,
    action,
    selectorText(subject),
    peers?.map(peerText),
    ports?.map(({ proto, first, last, name }) => [proto, first, last, name]),
    references?.length,
  ];
  return hash32(JSON.stringify(said)).toString(36);
}
