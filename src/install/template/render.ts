// SPDX-License-Identifier: Apache-2.0
// A small part of Go's templates, as Helm extends them: just what charts/weft uses, so that the chart is the one source of the
// manifests for helm and for `weft install`. What is outside that part is refused with file and line, never rendered differently:
// if/else if/else, with, range, define, include, variables, pipelines, and the functions of functions.ts.
import { errorText } from "#lib/errors.ts";
import type { Expression } from "./expression.ts";
import { functions, isTrue, printed, type Value } from "./functions.ts";
import { type Definitions, type Node, parseTemplate } from "./parse.ts";
import { type Place, templateError } from "./source.ts";

export interface TemplateFile {
  readonly name: string;
  readonly source: string;
}

const maxDepth = 100;

interface Scope {
  readonly definitions: Definitions;
  readonly dot: Value;
  readonly variables: Map<string, Value>;
  readonly depth: number;
}

/** Text of each file whose name does not begin with `_`, in order. @throws WeftError E_TEMPLATE */
export function renderTemplates(
  files: readonly TemplateFile[],
  context: Value,
): { name: string; text: string }[] {
  const definitions: Definitions = new Map();
  const parsed = files.map(({ name, source }) => ({ name, nodes: parseTemplate(name, source, definitions) }));
  return parsed
    .filter(({ name }) => !name.split("/").at(-1)!.startsWith("_"))
    .map(({ name, nodes }) => ({ name, text: render(nodes, scopeOf(definitions, context, 0)) }));
}

function scopeOf(definitions: Definitions, dot: Value, depth: number): Scope {
  return { definitions, dot, depth, variables: new Map([["", dot]]) };
}

function render(nodes: readonly Node[], outer: Scope): string {
  const scope = { ...outer, variables: new Map(outer.variables) };
  let out = "";
  for (const node of nodes) {
    if (node.kind === "text") out += node.text;
    else if (node.kind === "set") scope.variables.set(node.name, evaluate(node.value, scope, node.at));
    else if (node.kind === "print") out += print(evaluate(node.value, scope, node.at), node.at);
    else if (node.kind === "range") out += renderRange(node, scope);
    else {
      const value = evaluate(node.value, scope, node.at);
      const inner = node.kind === "with" && isTrue(value) ? { ...scope, dot: value } : scope;
      out += render(isTrue(value) ? node.then : node.otherwise, inner);
    }
  }
  return out;
}

function renderRange(node: Node & { kind: "range" }, scope: Scope): string {
  const value = evaluate(node.value, scope, node.at);
  if (!isTrue(value)) return render(node.otherwise, scope);
  if (typeof value !== "object" || value === null)
    throw templateError(node.at, `range over ${JSON.stringify(value)}`);
  // Go goes through the keys of a map in their order.
  const entries: [number | string, Value][] = Array.isArray(value)
    ? [...value.entries()]
    : Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return entries
    .map(([key, dot]) => {
      const variables = new Map(scope.variables);
      const [first, second] = node.names;
      if (second !== undefined) variables.set(first!, key).set(second, dot);
      else if (first !== undefined) variables.set(first, dot);
      return render(node.then, { ...scope, dot, variables });
    })
    .join("");
}

function print(value: Value, at: Place): string {
  try {
    return printed(value);
  } catch (cause) {
    throw templateError(at, errorText(cause), cause);
  }
}

function evaluate(expression: Expression, scope: Scope, at: Place): Value {
  if (expression.kind === "literal") return expression.value;
  if (expression.kind === "field") return fieldOf(expression, scope, at);
  const { name, args } = expression;
  if (name === "and" || name === "or") {
    let value: Value;
    for (const arg of args) {
      value = evaluate(arg, scope, at);
      if (isTrue(value) === (name === "or")) return value;
    }
    return value;
  }
  const values = args.map((arg) => evaluate(arg, scope, at));
  if (name === "include") return include(values, scope, at);
  if (!Object.hasOwn(functions, name))
    throw templateError(at, `function "${name}" is not of the subset this chart uses`);
  try {
    return functions[name]!(...values);
  } catch (cause) {
    throw templateError(at, `${name}: ${errorText(cause)}`, cause);
  }
}

function include([name, dot]: Value[], scope: Scope, at: Place): string {
  const nodes = scope.definitions.get(String(name));
  if (!nodes) throw templateError(at, `no template "${String(name)}" is defined`);
  if (scope.depth >= maxDepth) throw templateError(at, `"${String(name)}" includes itself without end`);
  return render(nodes, scopeOf(scope.definitions, dot, scope.depth + 1));
}

function fieldOf(expression: Expression & { kind: "field" }, scope: Scope, at: Place): Value {
  const { variable, path } = expression;
  if (variable !== undefined && !scope.variables.has(variable))
    throw templateError(at, `there is no variable $${variable}`);
  let value = variable === undefined ? scope.dot : scope.variables.get(variable);
  for (const part of path) {
    if (typeof value !== "object" || value === null)
      throw templateError(at, `".${path.join(".")}": what has the field "${part}" is absent`);
    value = Object.hasOwn(value, part) ? (value as Record<string, Value>)[part] : undefined;
  }
  return value;
}
