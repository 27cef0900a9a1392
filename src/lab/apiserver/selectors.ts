// SPDX-License-Identifier: Apache-2.0
import { badRequest } from "./errors.ts";
import { type JsonObject, type KubeObject, listAt, objectAt, stringAt, stringsAt } from "./object.ts";

export type Match = (object: KubeObject) => boolean;

/** The fields a fieldSelector may name besides `metadata.name` and `metadata.namespace`: field → its text. */
export type SelectableFields = Readonly<Record<string, (object: KubeObject) => string>>;

interface Requirement {
  readonly key: string;
  readonly operator: "in" | "notin" | "exists" | "absent" | "gt" | "lt";
  readonly values: readonly string[];
}

const term =
  /^\s*(?:(!)\s*(\S+)|(\S+?)\s+(in|notin)\s*\(([^)]*)\)|([^\s=!<>]+)\s*(==|=|!=|>|<)\s*(\S*)|([^\s=!<>,()]+))\s*$/;

/** A labelSelector as kubectl writes it: `a=b,c!=d,e in (f,g),h,!i`. @throws ApiError 400. */
export function parseLabelSelector(text: string): (labels: JsonObject) => boolean {
  if (text.trim() === "") return () => true;
  const requirements = splitTerms(text).map(parseTerm);
  return (labels) => requirements.every((requirement) => meets(requirement, labels));
}

function splitTerms(text: string): string[] {
  return text.split(/,(?![^(]*\))/);
}

function parseTerm(text: string): Requirement {
  const match = term.exec(text);
  if (!match)
    throw badRequest(`unable to parse requirement: found '${text.trim()}', expected: identifier, or a value`);
  const [, bang, absent, setKey, setOperator, list, key, operator, value, bare] = match;
  if (bang) return { key: absent!, operator: "absent", values: [] };
  if (setKey)
    return {
      key: setKey,
      operator: setOperator as "in" | "notin",
      values: list!.split(",").map((v) => v.trim()),
    };
  if (bare) return { key: bare, operator: "exists", values: [] };
  const named = { "=": "in", "==": "in", "!=": "notin", ">": "gt", "<": "lt" } as const;
  return { key: key!, operator: named[operator as keyof typeof named], values: [value!] };
}

function meets(requirement: Requirement, labels: JsonObject): boolean {
  const value = labels[requirement.key];
  const present = typeof value === "string";
  switch (requirement.operator) {
    case "exists":
      return present;
    case "absent":
      return !present;
    case "in":
      return present && requirement.values.includes(value);
    case "notin":
      return !present || !requirement.values.includes(value);
    case "gt":
      return present && Number(value) > Number(requirement.values[0]);
    case "lt":
      return present && Number(value) < Number(requirement.values[0]);
  }
}

/** True when labels fit a `LabelSelector` object (`matchLabels`, `matchExpressions`); an empty one fits all. */
export function matchesSelectorObject(selector: JsonObject, labels: JsonObject): boolean {
  for (const [key, value] of Object.entries(objectAt(selector, "matchLabels"))) {
    if (labels[key] !== value) return false;
  }
  const operators = { In: "in", NotIn: "notin", Exists: "exists", DoesNotExist: "absent" } as const;
  return listAt(selector, "matchExpressions").every((expression) => {
    const operator = operators[stringAt(expression, "operator") as keyof typeof operators];
    return meets(
      { key: stringAt(expression, "key"), operator, values: stringsAt(expression, "values") },
      labels,
    );
  });
}

/** The text form of a `LabelSelector` object, as tables and the scale subresource show it. */
export function selectorText(selector: JsonObject): string {
  const parts = Object.entries(objectAt(selector, "matchLabels")).map(
    ([key, value]) => `${key}=${String(value)}`,
  );
  for (const expression of listAt(selector, "matchExpressions")) {
    const key = stringAt(expression, "key");
    const operator = stringAt(expression, "operator");
    if (operator === "Exists") parts.push(key);
    else if (operator === "DoesNotExist") parts.push(`!${key}`);
    else parts.push(`${key} ${operator.toLowerCase()} (${stringsAt(expression, "values").join(",")})`);
  }
  return parts.sort().join(",");
}

/**
 * A fieldSelector: `a=b,c!=d` over the fields a kind allows; `undefined` for a kind that allows none of its own.
 * @throws ApiError 400 for another field.
 */
export function parseFieldSelector(text: string, fields: SelectableFields | undefined): Match {
  const checks: Match[] = [];
  for (const part of text.split(",").filter((item) => item.trim() !== "")) {
    const match = /^([^=!]+?)\s*(==|=|!=)\s*(.*)$/.exec(part.trim());
    if (!match) throw badRequest(`invalid field selector: ${part}`);
    const [, name, operator, wanted] = match;
    const read = fields?.[name!] ?? metadataFields[name!];
    if (!read) throw badRequest(unknownField(name!, fields));
    checks.push((object) => (read(object) === wanted) === (operator !== "!="));
  }
  return (object) => checks.every((check) => check(object));
}

function unknownField(name: string, fields: SelectableFields | undefined): string {
  if (fields) return `field label not supported: ${name}`;
  const known = Object.keys(metadataFields).map((field) => JSON.stringify(field));
  return `${JSON.stringify(name)} is not a known field selector: only ${known.join(", ")}`;
}

const metadataFields: SelectableFields = {
  "metadata.name": (object) => object.metadata.name,
  "metadata.namespace": (object) => object.metadata.namespace ?? "",
};
