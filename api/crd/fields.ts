// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";
import { parseAddress, parsePrefix } from "#model/ip.ts";
import { quote } from "./manifest.ts";

/** Fields that several kinds have. Formats: Kubernetes' apimachinery validation (RFC 1123 names, qualified label keys). */

const labelName = /^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)$/;
const dnsName = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

function isLabelKey(key: string): boolean {
  const slash = key.indexOf("/");
  const name = key.slice(slash + 1);
  if (name.length > 63 || !labelName.test(name)) return false;
  return slash < 0 || (slash <= 253 && dnsName.test(key.slice(0, slash)));
}

/** With Cilium's source in front: `k8s:app`, `any:app`, `reserved:host`. */
function isSourcedLabelKey(key: string): boolean {
  const name = key.replace(/^[a-z0-9][-a-z0-9]*:/, "");
  return isLabelKey(name.startsWith(namespaceLabelsPrefix) ? name.slice(namespaceLabelsPrefix.length) : name);
}

const namespaceLabelsPrefix = "io.cilium.k8s.namespace.labels.";

const labelValue = z
  .string()
  .max(63)
  .regex(/^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/, {
    error: (issue) => `${quote(issue.input)} is not a label value`,
  });

const operators = ["In", "NotIn", "Exists", "DoesNotExist"] as const;

function labelSelectorSchema(isKey: (key: string) => boolean) {
  const key = z.string().refine(isKey, { error: (issue) => `${quote(issue.input)} is not a label key` });
  const expression = z
    .strictObject({ key, operator: z.enum(operators), values: z.array(labelValue).optional() })
    .superRefine(({ operator, values }, context) => {
      const needs = operator === "In" || operator === "NotIn";
      const has = values !== undefined && values.length > 0;
      if (needs && !has)
        context.addIssue({ code: "custom", path: ["values"], message: `operator ${operator} needs values` });
      if (!needs && has)
        context.addIssue({
          code: "custom",
          path: ["values"],
          message: `operator ${operator} takes no values`,
        });
    });
  return z.strictObject({
    matchLabels: z.record(key, labelValue).optional(),
    matchExpressions: z.array(expression).optional(),
  });
}

export const labelSelector = labelSelectorSchema(isLabelKey);
export const ciliumSelector = labelSelectorSchema(isSourcedLabelKey);

function succeeds(parse: (text: string) => unknown): (text: string) => boolean {
  return (text) => {
    try {
      parse(text);
      return true;
    } catch {
      return false;
    }
  };
}

export const cidr = z
  .string()
  .refine(succeeds(parsePrefix), { error: (issue) => `${quote(issue.input)} is not a CIDR prefix` })
  .meta({ format: "cidr" });

/** A prefix, or an address that stands for itself alone. */
export const cidrOrAddress = z
  .string()
  .refine((text) => succeeds(text.includes("/") ? parsePrefix : parseAddress)(text), {
    error: (issue) => `${quote(issue.input)} is neither a CIDR prefix nor an IP address`,
  });

export const address = z
  .string()
  .max(39)
  .refine(succeeds(parseAddress), { error: (issue) => `${quote(issue.input)} is not an IP address` });

/** RFC 6335 section 5.1: 15 characters at most, a letter among them, no hyphen at an end or beside another. */
export function isPortName(text: string): boolean {
  return text.length <= 15 && /^[a-z0-9]+(-[a-z0-9]+)*$/i.test(text) && /[a-z]/i.test(text);
}

export const endPort = z
  .int({ error: (issue) => `${quote(issue.input)} is not a port` })
  .meta({ format: "int32" });

/** Object metadata: what policies need of it; the rest belongs to the API server. */
export const metadata = z.looseObject({
  name: z
    .string()
    .max(253)
    .regex(dnsName, { error: (issue) => `${quote(issue.input)} is not an object name` }),
  namespace: z.string().optional(),
  uid: z.string().optional(),
});
