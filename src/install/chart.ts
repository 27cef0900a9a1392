// SPDX-License-Identifier: Apache-2.0
import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parse, parseAllDocuments } from "yaml";
import { fieldPath } from "#api/crd/manifest.ts";
import { installRoot } from "#lib/assets.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import { renderTemplates, type TemplateFile } from "./template/render.ts";
import { valuesSchema } from "./values.ts";
import { isTree, mergeValues, type Tree } from "./values-merge.ts";

/** An object as the chart renders it. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

export interface Chart {
  readonly version: string;
  readonly appVersion: string;
  readonly defaults: Tree;
  readonly templates: readonly TemplateFile[];
  readonly notes: TemplateFile;
  readonly profilesDir: string;
}

/** The chart this installation of Weft carries. @throws WeftError E_INSTALL */
export function loadChart(dir = join(installRoot(), "charts/weft")): Chart {
  if (!existsSync(join(dir, "Chart.yaml")))
    throw new WeftError("E_INSTALL", `there is no chart in ${dir}`, {
      hint: "install Weft with its folder charts/",
    });
  const read = (name: string) => readFileSync(join(dir, name), "utf8");
  const { version, appVersion } = parse(read("Chart.yaml")) as { version: string; appVersion: string };
  const names = globSync("templates/**/*.{yaml,tpl}", { cwd: dir }).sort();
  return {
    version,
    appVersion: String(appVersion),
    defaults: parse(read("values.yaml")) as Tree,
    templates: names.map((name) => ({ name, source: read(name) })),
    notes: { name: "templates/NOTES.txt", source: read("templates/NOTES.txt") },
    profilesDir: join(dir, "profiles"),
  };
}

/** Values of a profile of the chart. @throws WeftError E_USAGE for one there is not */
export function loadProfile(chart: Chart, name: string): Tree {
  const names = readdirSync(chart.profilesDir).map((file) => basename(file, ".yaml"));
  if (!names.includes(name))
    throw new WeftError("E_USAGE", `there is no profile "${name}"`, {
      hint: `there are: ${names.sort().join(", ")}`,
    });
  return readValues(join(chart.profilesDir, `${name}.yaml`));
}

/** A YAML file of values. @throws WeftError E_VALUES naming the file */
export function readValues(path: string): Tree {
  let value: unknown;
  try {
    value = parse(readFileSync(path === "-" ? 0 : path, "utf8")) ?? {};
  } catch (cause) {
    throw new WeftError("E_VALUES", `${path}: ${errorText(cause)}`, { cause });
  }
  if (!isTree(value)) throw new WeftError("E_VALUES", `${path}: values are a map`);
  return value;
}

export interface RenderOptions {
  readonly namespace: string;
  /** Over the chart's defaults. */
  readonly values: Tree;
  /** Who manages the objects; Helm's word for itself is "Helm". */
  readonly manager?: string;
}

/** The chart's objects, in the files' order. @throws WeftError E_VALUES with the path of each wrong value; E_TEMPLATE */
export function renderChart(chart: Chart, options: RenderOptions): Manifest[] {
  const values = completeValues(chart, options.values);
  const files = renderTemplates(chart.templates, contextOf(chart, options, values));
  return files.flatMap(({ name, text }) => parseObjects(name, text));
}

/** What to do next, for people. */
export function renderNotes(chart: Chart, options: RenderOptions): string {
  const values = completeValues(chart, options.values);
  return renderTemplates([chart.notes], contextOf(chart, options, values))[0]!.text;
}

/** Defaults and given values together, checked. @throws WeftError E_VALUES */
export function completeValues(chart: Chart, given: Tree): Tree {
  const values = mergeValues(chart.defaults, given);
  const result = valuesSchema.safeParse(values);
  if (result.success) return values;
  const lines = result.error.issues.map((issue) =>
    issue.code === "unrecognized_keys"
      ? `${fieldPath([...issue.path, issue.keys[0]!])}: there is no such value`
      : `${fieldPath(issue.path)}: ${issue.message}`,
  );
  throw new WeftError("E_VALUES", `values: ${lines.join("; ")}`, {
    hint: "docs/reference/values.md lists what can be set",
  });
}

function contextOf(chart: Chart, options: RenderOptions, values: Tree): unknown {
  return {
    Values: values,
    Chart: { Name: "weft", Version: chart.version, AppVersion: chart.appVersion },
    Release: { Name: "weft", Namespace: options.namespace, Service: options.manager ?? "weft" },
  };
}

function parseObjects(name: string, text: string): Manifest[] {
  const documents = parseAllDocuments(text);
  if (!Array.isArray(documents)) return [];
  return documents.flatMap((document) => {
    const broken = document.errors[0];
    if (broken) throw new WeftError("E_TEMPLATE", `${name}: ${broken.message}`);
    const object = document.toJS() as Manifest | null;
    return object === null ? [] : [object];
  });
}
