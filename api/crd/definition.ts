// SPDX-License-Identifier: Apache-2.0
import type { JsonSchema } from "./structural.ts";

/** A CustomResourceDefinition of apiextensions.k8s.io/v1, as far as these use it. */
export interface CustomResourceDefinition {
  readonly apiVersion: "apiextensions.k8s.io/v1";
  readonly kind: "CustomResourceDefinition";
  readonly metadata: {
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: {
    readonly group: string;
    readonly scope: "Namespaced" | "Cluster";
    readonly names: {
      readonly kind: string;
      readonly listKind: string;
      readonly plural: string;
      readonly singular: string;
      readonly shortNames: readonly string[];
      readonly categories: readonly string[];
    };
    readonly versions: readonly {
      readonly name: string;
      readonly served: boolean;
      readonly storage: boolean;
      readonly schema: { readonly openAPIV3Schema: JsonSchema };
      readonly subresources?: { readonly status: Readonly<Record<string, never>> };
      readonly additionalPrinterColumns: readonly PrinterColumn[];
    }[];
  };
}

export interface PrinterColumn {
  readonly name: string;
  readonly type: string;
  readonly jsonPath: string;
  readonly description?: string;
  readonly priority?: number;
}

/** What one kind says of itself; the rest of its definition follows. */
export interface Kind {
  readonly kind: string;
  /** Default: cilium.io. */
  readonly group?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly version?: string;
  readonly plural: string;
  readonly scope: "Namespaced" | "Cluster";
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly schema: JsonSchema;
  readonly status: boolean;
  readonly columns: readonly PrinterColumn[];
}

/** Carries {@link crdSchemaVersion} on a definition in the cluster. */
export const crdVersionLabel = "weft.io/crd-schema-version";

/**
 * Version of all schemas here; an operator replaces what carries an older one and leaves a newer one alone. A change of any schema
 * raises it: the last part for what old objects fit into, the first for what they do not.
 */
export const crdSchemaVersion = "1.8.1";

/** When an object was made; every kind may show it. */
export const age: PrinterColumn = { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" };

/** The schema of a whole object. */
export function objectSchema(
  properties: Readonly<Record<string, JsonSchema>>,
  required: readonly string[] = [],
  more: JsonSchema = {},
): JsonSchema {
  const common = { apiVersion: { type: "string" }, kind: { type: "string" }, metadata: { type: "object" } };
  return {
    type: "object",
    properties: { ...common, ...properties },
    required: ["metadata", ...required],
    ...more,
  };
}

/** The definition as an API server takes it. */
export function definitionOf(kind: Kind): CustomResourceDefinition {
  const { group = "cilium.io", annotations } = kind;
  const singular = kind.kind.toLowerCase();
  const version = {
    name: kind.version ?? "v2",
    served: true,
    storage: true,
    schema: { openAPIV3Schema: kind.schema },
    ...(kind.status && { subresources: { status: {} } }),
    additionalPrinterColumns: kind.columns,
  };
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `${kind.plural}.${group}`,
      labels: { [crdVersionLabel]: crdSchemaVersion },
      ...(annotations && { annotations }),
    },
    spec: {
      group,
      scope: kind.scope,
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural: kind.plural,
        singular,
        shortNames: kind.shortNames,
        categories: kind.categories,
      },
      versions: [version],
    },
  };
}
