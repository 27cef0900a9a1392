// SPDX-License-Identifier: Apache-2.0
// Writes charts/weft/values.yaml, values.schema.json and docs/reference/values.md from the one schema of the values.
import { mkdirSync, writeFileSync } from "node:fs";
import { stringify } from "yaml";
import { z } from "zod";
import { valuesSchema } from "#install/values.ts";

interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly additionalProperties?: unknown;
}

const schema = z.toJSONSchema(valuesSchema, { target: "draft-7", io: "input" }) as Schema;

/** A map whose keys are settings, and not one value of free keys. */
function isSection(one: Schema): boolean {
  return one.properties !== undefined && sameJson(one.default, {});
}

function sameJson(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function wrapped(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const last = lines.at(-1)!;
    if (last !== "" && last.length + word.length >= width) lines.push(word);
    else lines[lines.length - 1] = last === "" ? word : `${last} ${word}`;
  }
  return lines;
}

function valuesYaml(of: Schema, indent: string): string {
  return Object.entries(of.properties ?? {})
    .map(([key, one]) => {
      const comments = one.description ? wrapped(one.description, 116 - indent.length) : [];
      if (one.enum) comments.push(`One of: ${one.enum.join(", ")}.`);
      const head = comments.map((line) => `${indent}# ${line}\n`).join("");
      if (isSection(one)) {
        const inner = valuesYaml(one, `${indent}  `);
        return `${head}${indent}${key}:${inner === "" ? " {}\n" : `\n${inner}`}`;
      }
      if (one.default === undefined) return `${head}${indent}# ${key}:\n`;
      const text = stringify({ [key]: one.default }, { lineWidth: 0, indentSeq: false, version: "1.1" });
      return head + text.replace(/^(?=.)/gm, indent);
    })
    .join(indent === "" ? "\n" : "");
}

function typeOf(one: Schema): string {
  if (one.enum) return one.enum.map((value) => `\`${String(value)}\``).join(", ");
  if (one.anyOf) return one.anyOf.map(typeOf).join(" or ");
  if (one.type === "array") return `list of ${typeOf(one.items ?? {})}`;
  if (one.type === "object") return "map";
  if (one.type !== "integer") return one.type ?? "anything";
  const bounds = [one.minimum, one.maximum].map((bound) =>
    bound === undefined || Math.abs(bound) === Number.MAX_SAFE_INTEGER ? "" : String(bound),
  );
  return bounds.join("") === "" ? "integer" : `integer ${bounds.join("–")}`;
}

function rows(of: Schema, prefix: string): string[] {
  return Object.entries(of.properties ?? {}).flatMap(([key, one]) => {
    const path = `${prefix}${key}`;
    const text = (one.description ?? "").replaceAll("|", "\\|");
    if (isSection(one) || (one.properties && one.default === undefined))
      return [`| **${path}** | | | ${text} |`, ...rows(one, `${path}.`)];
    const fallback = one.default === undefined ? "" : `\`${JSON.stringify(one.default)}\``;
    return [`| \`${path}\` | ${typeOf(one)} | ${fallback} | ${text} |`];
  });
}

const generated = "Generated from src/install/values.ts by `npm run gen`.";
writeFileSync("charts/weft/values.schema.json", `${JSON.stringify(schema, null, 2)}\n`);
writeFileSync(
  "charts/weft/values.yaml",
  `# Values of the chart weft. ${generated}\n\n${valuesYaml(schema, "")}`,
);
mkdirSync("docs/reference", { recursive: true });
writeFileSync(
  "docs/reference/values.md",
  `# Values\n\nWhat \`weft install --set\` and \`--values\`, and Helm, can be told. ${generated}\n\n` +
    `| value | type | default | what it is |\n|---|---|---|---|\n${rows(schema, "").join("\n")}\n`,
);
