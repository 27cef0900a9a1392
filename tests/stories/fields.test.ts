// SPDX-License-Identifier: Apache-2.0
/** Every field of the policy languages, and every word that one takes, stands in a story of tests/stories/policy. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseAllDocuments } from "yaml";
import type { z } from "zod";
import { ciliumRule } from "#api/crd/cilium-network-policy.ts";
import { clusterNetworkPolicySpec } from "#api/crd/cluster-network-policy.ts";
import { networkPolicySpec } from "#api/crd/network-policy.ts";
import { structural } from "#api/crd/structural.ts";
import { parseTxtar } from "#kit/txtar.ts";

interface Schema {
  readonly enum?: readonly string[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
}

const languages: readonly { readonly kinds: readonly string[]; readonly spec: z.ZodType }[] = [
  { kinds: ["NetworkPolicy"], spec: networkPolicySpec },
  { kinds: ["CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"], spec: ciliumRule },
  { kinds: ["ClusterNetworkPolicy"], spec: clusterNetworkPolicySpec },
];

/** `spec.ingress[].from`; of words, the field's name and the word: `protocol: SCTP`. */
function* demanded(schema: Schema, path: string): Generator<string> {
  for (const word of schema.enum ?? []) yield `${nameOf(path)}: ${word}`;
  if (schema.items) yield* demanded(schema.items, `${path}[]`);
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    yield `${path}.${name}`;
    yield* demanded(field, `${path}.${name}`);
  }
}

function* told(value: unknown, path: string): Generator<string> {
  if (Array.isArray(value)) {
    for (const one of value) yield* told(one, `${path}[]`);
  } else if (typeof value === "object" && value !== null) {
    for (const [name, one] of Object.entries(value)) {
      yield `${path}.${name}`;
      yield* told(one, `${path}.${name}`);
    }
  } else {
    yield `${nameOf(path)}: ${String(value)}`;
  }
}

function nameOf(path: string): string {
  return path.replace(/(\[\])+$/, "").replace(/^.*\./, "");
}

interface PolicyDocument {
  readonly kind?: string;
  readonly spec?: unknown;
  readonly specs?: readonly unknown[];
}

const directory = join(import.meta.dirname, "policy");
const documents = readdirSync(directory)
  .filter((file) => file.endsWith(".story"))
  .flatMap((file) => {
    const { files } = parseTxtar(readFileSync(join(directory, file), "utf8"));
    return parseAllDocuments(files.get("policies.yaml") ?? "").map(
      (document) => document.toJS() as PolicyDocument | null,
    );
  });

for (const { kinds, spec } of languages) {
  test(`every field of ${kinds.join(" and ")} has a story`, () => {
    const mine = documents.filter((one) => kinds.includes(one?.kind ?? ""));
    const specs = mine.flatMap((one) => [one?.spec, ...(one?.specs ?? [])]);
    const there = new Set(specs.flatMap((one) => [...told(one, "spec")]));
    const wanted = new Set(demanded(structural(spec) as Schema, "spec"));
    assert.deepEqual(
      [...wanted].filter((field) => !there.has(field)),
      [],
    );
  });
}

test("both kinds of Cilium, and objects of several rule sets, have stories", () => {
  for (const kind of ["CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"])
    assert.ok(documents.some((one) => one?.kind === kind));
  assert.ok(documents.some((one) => (one?.specs?.length ?? 0) > 1));
});
