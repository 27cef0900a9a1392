// SPDX-License-Identifier: Apache-2.0
import { kubernetesTypes } from "#api/gen/kubernetes.ts";
import { WeftError } from "#lib/errors.ts";
import { listRules } from "./lists.ts";
import { anySchema, type Schema } from "./schema.ts";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const known = new Map<string, Schema>();

/** The schema of a Kubernetes type by its name in the type table (`V1Pod`); the same object each time. */
export function builtinSchema(name: string): Schema {
  const present = known.get(name);
  if (present) return present;
  const fields = kubernetesTypes[name];
  if (!fields) throw new WeftError("E_SCHEMA", `there is no Kubernetes type ${name}`);
  const properties: Record<string, Schema> = {};
  const rules = listRules[name] ?? {};
  const schema: Mutable<Schema> = { type: "object", name, properties };
  // Kept before its fields are read: JSONSchemaProps contains itself.
  known.set(name, schema);
  if (atomicTypes.has(name)) schema.atomic = true;
  const required: string[] = [];
  for (const [field, text] of Object.entries(fields)) {
    if (text.endsWith("!")) required.push(field);
    const type = parseType(text.replace(/!$/, ""), quantityFields.has(field));
    const rule = rules[field];
    // The one key of keyed lists that has a default: an element without it is the same as one with it.
    const isKey = field === "protocol" && (name === "V1ContainerPort" || name === "V1ServicePort");
    properties[field] = rule ? { ...type, ...rule } : isKey ? { ...type, default: "TCP" } : type;
  }
  schema.required = required;
  return schema;
}

function parseType(text: string, quantity: boolean): Schema {
  if (text.startsWith("[]"))
    return { type: "array", items: parseType(text.slice(2), false), listType: "atomic" };
  if (text.startsWith("{}")) return { type: "object", additional: parseType(text.slice(2), quantity) };
  switch (text) {
    case "string":
      return quantity ? { type: "string", quantity: true } : { type: "string" };
    case "bytes":
      return { type: "string", format: "byte" };
    case "time":
    case "microtime":
      return { type: "string", format: "date-time" };
    case "int32":
    case "int64":
      return { type: "integer", format: text };
    case "double":
      return { type: "number", format: "double" };
    case "boolean":
      return { type: "boolean" };
    case "IntOrString":
      return { type: "string", format: "int-or-string", intOrString: true };
    case "any":
      return anySchema;
    default:
      return builtinSchema(text);
  }
}

/** Fields that hold resource quantities wherever they occur. */
const quantityFields: ReadonlySet<string> = new Set([
  "limits",
  "requests",
  "capacity",
  "allocatable",
  "overhead",
  "allocatedResources",
  "hard",
  "used",
  "sizeLimit",
  "divisor",
  "default",
  "defaultRequest",
  "max",
  "min",
  "maxLimitRequestRatio",
  "averageValue",
]);

/** `x-kubernetes-map-type: atomic` of the Kubernetes types. */
const atomicTypes: ReadonlySet<string> = new Set([
  "V1LabelSelector",
  "V1ObjectReference",
  "V1LocalObjectReference",
  "V1TypedLocalObjectReference",
  "V1SecretReference",
  "V1SecretKeySelector",
  "V1ConfigMapKeySelector",
  "V1ObjectFieldSelector",
  "V1ResourceFieldSelector",
  "V1NodeSelector",
  "V1NodeSelectorTerm",
  "V1RoleRef",
  "V1TopologySelectorTerm",
  "V1FileKeySelector",
  "RbacV1Subject",
  "V1ScopeSelector",
]);
