// SPDX-License-Identifier: Apache-2.0
import { type FieldError, invalidField, notSupported, required } from "../errors.ts";
import { type Json, type JsonObject, listAt, stringAt, stringsAt } from "../object.ts";
import { nameProblem, validateLabels } from "./names.ts";

export const protocols: readonly string[] = ["SCTP", "TCP", "UDP"];

/** What is wrong with a port number, or with a name where names are taken; undefined when nothing is. */
export function portProblem(port: Json, nameAllowed = false): string | undefined {
  if (nameAllowed && typeof port === "string") return portNameProblem(port);
  const fits = typeof port === "number" && port >= 1 && port <= 65535;
  return fits ? undefined : "must be between 1 and 65535, inclusive";
}

/** IANA service names (RFC 6335): how a container's port may be called. */
export function portNameProblem(name: string): string | undefined {
  if (name.length > 15) return "must be no more than 15 characters";
  if (!/^[-a-z0-9]+$/.test(name))
    return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
  if (!/[a-z]/.test(name)) return "must contain at least one letter (a-z)";
  if (name.includes("--")) return "must not contain consecutive hyphens";
  return name.startsWith("-") || name.endsWith("-") ? "must not begin or end with a hyphen" : undefined;
}

export function labelProblem(name: string): string | undefined {
  return nameProblem(name, "label");
}

const operators = ["DoesNotExist", "Exists", "In", "NotIn"];

/** A `LabelSelector` object. */
export function validateSelector(selector: JsonObject, path: string): FieldError[] {
  const errors = validateLabels(selector["matchLabels"], `${path}.matchLabels`);
  for (const [i, expression] of listAt(selector, "matchExpressions").entries()) {
    const at = `${path}.matchExpressions[${i}]`;
    const operator = stringAt(expression, "operator");
    const values = stringsAt(expression, "values");
    if (!stringAt(expression, "key")) errors.push(required(`${at}.key`));
    if (!operators.includes(operator)) errors.push(notSupported(`${at}.operator`, operator, operators));
    else if (operator.endsWith("In") && values.length === 0) {
      errors.push(required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
    } else if (!operator.endsWith("In") && values.length > 0) {
      errors.push({
        type: "Forbidden",
        path: `${at}.values`,
        detail: "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
      });
    }
  }
  return errors;
}

/** A number that may not be negative; absent is fine. */
export function validateCount(parent: JsonObject, name: string, path: string): FieldError[] {
  const value = parent[name];
  if (typeof value !== "number" || value >= 0) return [];
  return [invalidField(`${path}.${name}`, value, "must be greater than or equal to 0")];
}
