// SPDX-License-Identifier: Apache-2.0
import type * as z from "zod";
import { WeftError } from "#lib/errors.ts";

/**
 * Reads a manifest by its schema.
 * @throws WeftError E_MANIFEST that names the object and the path of the first field that is wrong:
 * `NetworkPolicy shop/web: spec.ingress[0].ports[1].port: 70000 is not a port`
 */
export function readManifest<S extends z.ZodType>(schema: S, object: unknown): z.output<S> {
  const result = schema.safeParse(object, { reportInput: true, error: issueText });
  if (result.success) return result.data;
  const issues = result.error.issues;
  const more = issues.length > 1 ? { hint: `${issues.length - 1} more field(s) of it are wrong` } : {};
  throw new WeftError("E_MANIFEST", `${objectName(object)}: ${located(issues[0]!)}`, more);
}

/** `NetworkPolicy shop/web`, as much of it as the object says. */
export function objectName(object: unknown): string {
  const { kind, metadata } = fields(object);
  const { name, namespace } = fields(metadata);
  const path = [namespace, name].filter((part) => typeof part === "string" && part !== "").join("/");
  return [typeof kind === "string" ? kind : "object", path].filter((part) => part !== "").join(" ");
}

function fields(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

/** `spec.ingress[0].from`; keys that are no plain names are quoted: `matchLabels["k8s:app"]`. */
export function fieldPath(path: readonly PropertyKey[]): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else if (/^[A-Za-z_$][\w$]*$/.test(String(part))) text += text === "" ? String(part) : `.${String(part)}`;
    else text += `[${JSON.stringify(String(part))}]`;
  }
  return text;
}

function located(issue: z.core.$ZodIssue): string {
  if (issue.code === "unrecognized_keys")
    return `${fieldPath([...issue.path, issue.keys[0]!])}: unknown field`;
  if (issue.code === "invalid_key") {
    return `${fieldPath(issue.path)}: ${issue.issues[0]?.message ?? "the key is not valid"}`;
  }
  return issue.path.length === 0 ? issue.message : `${fieldPath(issue.path)}: ${issue.message}`;
}

/** The texts of what schemas do not word themselves. */
function issueText(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.input === undefined && (issue.code === "invalid_type" || issue.code === "invalid_value"))
    return "is required";
  switch (issue.code) {
    case "invalid_type":
      return `must be ${article(String(issue.expected))}, is ${quote(issue.input)}`;
    case "invalid_value":
      return `${quote(issue.input)} is not ${(issue.values as unknown[]).length === 1 ? "" : "one of "}${(issue.values as unknown[]).join(", ")}`;
    case "too_big":
      return `is over the limit of ${String(issue.maximum)}`;
    case "too_small":
      return `is under the least of ${String(issue.minimum)}`;
    default:
      return undefined;
  }
}

function article(type: string): string {
  if (type === "array") return "a list";
  if (type === "int") return "an integer";
  if (type === "record") return "an object";
  return /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`;
}

/** A value as an error message shows it: short, one line. */
export function quote(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "an object";
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** No kind is as deep; what is has fields that none knows, and the schema says so. */
const deepest = 64;

/**
 * The value without fields that are null, which the Kubernetes API takes for absent in its own kinds. Labels stay: one without a value is no
 * absent requirement; elements of lists stay: an empty rule would be a wide one.
 */
export function withoutNulls(value: unknown, depth = 0): unknown {
  if (typeof value !== "object" || value === null || depth > deepest) return value;
  if (Array.isArray(value)) return value.map((one) => withoutNulls(one, depth + 1));
  const kept = Object.entries(value).filter(([, one]) => one !== null);
  return Object.fromEntries(
    kept.map(([key, one]) => [key, key === "matchLabels" ? one : withoutNulls(one, depth + 1)]),
  );
}
