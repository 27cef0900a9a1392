// SPDX-License-Identifier: Apache-2.0
import { type FieldError, invalidField, required } from "../errors.ts";
import { isObject, type Json, type ObjectMeta } from "../object.ts";

/** subdomain: RFC 1123, up to 253; label: RFC 1123, up to 63; service: RFC 1035, up to 63; path: any but `/` and `%`. */
export type NameRule = "subdomain" | "label" | "service" | "path";

const label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const subdomainPattern = new RegExp(`^${label}(\\.${label})*$`);
const labelPattern = new RegExp(`^${label}$`);
const servicePattern = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const qualifiedNamePattern = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;

const subdomainText =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const labelText =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const serviceText =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const labelValueText =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const qualifiedNameText =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

/** What is wrong with a name, undefined when nothing is. */
export function nameProblem(name: string, rule: NameRule): string | undefined {
  switch (rule) {
    case "path":
      return name === "." || name === ".." || /[/%]/.test(name) ? "may not contain '/' or '%'" : undefined;
    case "label":
      if (name.length > 63) return "must be no more than 63 characters";
      return labelPattern.test(name) ? undefined : labelText;
    case "service":
      if (name.length > 63) return "must be no more than 63 characters";
      return servicePattern.test(name) ? undefined : serviceText;
    case "subdomain":
      if (name.length > 253) return "must be no more than 253 characters";
      return subdomainPattern.test(name) ? undefined : subdomainText;
  }
}

/** Name, labels, annotations and finalizers of any object. */
export function validateMeta(meta: ObjectMeta, rule: NameRule): FieldError[] {
  const errors: FieldError[] = [];
  if (!meta.name) errors.push(required("metadata.name", "name or generateName is required"));
  else {
    const problem = nameProblem(meta.name, rule);
    if (problem) errors.push(invalidField("metadata.name", meta.name, problem));
  }
  errors.push(...validateLabels(meta.labels, "metadata.labels"));
  for (const key of Object.keys(meta.annotations ?? {})) {
    const problem = keyProblem(key.toLowerCase());
    if (problem) errors.push(invalidField("metadata.annotations", key, problem));
  }
  for (const [i, owner] of (meta.ownerReferences ?? []).entries()) {
    if (!owner.uid) errors.push(invalidField(`metadata.ownerReferences[${i}].uid`, "", "must not be empty"));
    if (!owner.name)
      errors.push(invalidField(`metadata.ownerReferences[${i}].name`, "", "must not be empty"));
  }
  return errors;
}

export function validateLabels(labels: Json, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!isObject(labels)) return errors;
  for (const [key, value] of Object.entries(labels)) {
    const problem = keyProblem(key);
    if (problem) errors.push(invalidField(path, key, problem));
    const valueProblem = labelValueProblem(String(value));
    if (valueProblem) errors.push(invalidField(path, value, valueProblem));
  }
  return errors;
}

function labelValueProblem(value: string): string | undefined {
  if (value.length > 63) return "must be no more than 63 bytes";
  return value === "" || qualifiedNamePattern.test(value) ? undefined : labelValueText;
}

function keyProblem(key: string): string | undefined {
  const slash = key.indexOf("/");
  const name = key.slice(slash + 1);
  if (slash >= 0 && nameProblem(key.slice(0, slash), "subdomain")) return `prefix part ${subdomainText}`;
  if (name.length === 0) return "name part must be non-empty";
  if (name.length > 63) return "name part must be no more than 63 characters";
  return qualifiedNamePattern.test(name) ? undefined : qualifiedNameText;
}
