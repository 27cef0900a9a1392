// SPDX-License-Identifier: Apache-2.0
// Writes docs/reference/crds.md from the definitions the operator installs.
import { mkdirSync, writeFileSync } from "node:fs";
import { type CustomResourceDefinition, crdSchemaVersion } from "#api/crd/definition.ts";
import { customResourceDefinitions } from "#api/crd/definitions.ts";

interface Schema {
  readonly type?: string;
  readonly format?: string;
  readonly description?: string;
  readonly enum?: readonly string[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema;
  readonly "x-kubernetes-int-or-string"?: boolean;
}

/** `list of string`, `text → object`. */
function typeOf(schema: Schema): string {
  if (schema["x-kubernetes-int-or-string"]) return "integer or string";
  if (schema.enum) return schema.enum.map((value) => `\`${value}\``).join(", ");
  if (schema.type === "array") return `list of ${typeOf(schema.items ?? {})}`;
  if (schema.additionalProperties) return `text → ${typeOf(schema.additionalProperties)}`;
  return [schema.type ?? "anything", schema.format === "cidr" ? "(CIDR)" : ""].join(" ").trim();
}

/** The fields of a schema, each with its path; lists and maps show what is in them. */
function rows(schema: Schema, path: string): string[] {
  const inside = schema.items ?? schema.additionalProperties;
  if (inside) return rows(inside, `${path}${schema.items ? "[]" : ".*"}`);
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const at = path === "" ? name : `${path}.${name}`;
    return [`| \`${at}\` | ${typeOf(field)} | ${field.description ?? ""} |`, ...rows(field, at)];
  });
}

function section({ spec }: CustomResourceDefinition): string {
  const { names, scope, group } = spec;
  const version = spec.versions[0]!;
  const schema = version.schema.openAPIV3Schema as Schema;
  const { apiVersion: _, kind: __, metadata: ___, specs, ...properties } = schema.properties ?? {};
  const columns = version.additionalPrinterColumns.map(({ name }) => name).join(", ");
  return `## ${names.kind}

\`${group}/${version.name}\`, ${scope === "Cluster" ? "cluster-wide" : "in a namespace"}, \`kubectl get ${names.plural}\` (${names.shortNames.map((name) => `\`${name}\``).join(", ")}).
Columns: ${columns}.${specs ? "\n`specs` is a list of what `spec` is one of." : ""}

| field | type | what it is |
|---|---|---|
${rows({ properties }, "").join("\n")}
`;
}

// The two policy kinds have one schema.
const shown = customResourceDefinitions.filter(
  ({ spec }) => spec.names.kind !== "CiliumClusterwideNetworkPolicy",
);
mkdirSync("docs/reference", { recursive: true });
writeFileSync(
  "docs/reference/crds.md",
  `# Custom resources

The kinds the operator installs, schema version ${crdSchemaVersion} (label \`weft.io/crd-schema-version\`). CiliumClusterwideNetworkPolicy (\`ccnp\`,
cluster-wide) has the fields of CiliumNetworkPolicy. Generated from api/crd by \`npm run gen\`.

${shown.map(section).join("\n")}`,
);
