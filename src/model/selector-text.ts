// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";

/** Whether labels (`k8s:app=web`) satisfy a selector. */
export type Selects = (labels: readonly string[]) => boolean;

type Requirement = (value: string | undefined) => boolean;

const term = /^\s*(!)?\s*([^\s!=,()]+)\s*(?:(==|=|!=)\s*([^\s,()=]*)|\s(in|notin)\s*\(([^)]*)\))?\s*(?:,|$)/;

/**
 * A Kubernetes label selector in text form: `app=web,tier!=db`, `env in (a,b)`, `app`, `!app`. A key may have its source in
 * front (`k8s:app`, `reserved:world`); without one it matches a label of any source.
 * @throws WeftError E_FILTER
 */
export function parseLabelSelector(text: string, field: string): Selects {
  const requirements: { readonly key: string; readonly holds: Requirement }[] = [];
  let rest = text;
  while (rest.trim() !== "") {
    const match = term.exec(rest);
    if (!match) throw new WeftError("E_FILTER", `${field}: "${text}" is not a label selector`);
    rest = rest.slice(match[0].length);
    requirements.push({ key: match[2]!, holds: requirement(match, text, field) });
  }
  if (requirements.length === 0) throw new WeftError("E_FILTER", `${field}: an empty label selector`);
  return (labels) => requirements.every(({ key, holds }) => holds(labelValue(labels, key)));
}

function requirement(match: RegExpExecArray, text: string, field: string): Requirement {
  const [, not, , operator, value, setOperator, list] = match;
  if (not !== undefined) {
    if (operator !== undefined || setOperator !== undefined) {
      throw new WeftError("E_FILTER", `${field}: "${text}" is not a label selector`);
    }
    return (found) => found === undefined;
  }
  if (operator === "=" || operator === "==") return (found) => found === value;
  if (operator === "!=") return (found) => found !== value;
  if (setOperator === undefined) return (found) => found !== undefined;
  const values = new Set((list ?? "").split(",").map((item) => item.trim()));
  if (setOperator === "in") return (found) => found !== undefined && values.has(found);
  return (found) => found === undefined || !values.has(found);
}

/** The value of the label with that key; "" for a label without value; undefined when there is none. */
function labelValue(labels: readonly string[], key: string): string | undefined {
  const wanted = key.startsWith("any:") ? key.slice(4) : key;
  for (const label of labels) {
    const equals = label.indexOf("=");
    const full = equals < 0 ? label : label.slice(0, equals);
    if (full === wanted || full.slice(full.indexOf(":") + 1) === wanted)
      return equals < 0 ? "" : label.slice(equals + 1);
  }
  return undefined;
}
