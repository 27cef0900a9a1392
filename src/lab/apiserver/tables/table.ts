// SPDX-License-Identifier: Apache-2.0
import { type Json, type JsonObject, type KubeObject, stringAt } from "../object.ts";

export interface Column {
  readonly name: string;
  readonly type: "string" | "integer" | "number" | "boolean" | "date";
  readonly format?: string;
  readonly description?: string;
  /** 1: only shown with `-o wide`. */
  readonly priority?: number;
}

export interface TableLayout {
  readonly columns: readonly Column[];
  readonly cells: (object: KubeObject) => Json[];
}

/** `{ Name: text, Ready: …}` in short: the first is the name column, `!` before a name makes a wide one. */
export function columns(...names: string[]): Column[] {
  return names.map((text): Column => {
    const wide = text.startsWith("!");
    const name = wide ? text.slice(1) : text;
    const column: Column = { name, type: "string", description: name, priority: wide ? 1 : 0 };
    return name === "Name" ? { ...column, format: "name" } : column;
  });
}

/** Kinds without columns of their own show name and age. */
export const plainTable: TableLayout = {
  columns: columns("Name", "Age"),
  cells: (object) => [object.metadata.name, age(object.metadata.creationTimestamp)],
};

/** A time span as kubectl writes it: two units at most, fewer with growing size. */
export function duration(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`;
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (days < 8) return hours % 24 === 0 ? `${days}d` : `${days}d${hours % 24}h`;
  if (days < 730) return `${days}d`;
  const years = Math.floor(days / 365);
  return years < 8 && days % 365 !== 0 ? `${years}y${days % 365}d` : `${years}y`;
}

export function age(time: Json): string {
  if (typeof time !== "string" || time === "") return "<unknown>";
  return duration(Date.now() - Date.parse(time));
}

export type Inclusion = "None" | "Metadata" | "Object";

/** One row of a Table; what comes along with the cells is the client's choice. */
export function tableRow(layout: TableLayout, object: KubeObject, include: Inclusion): JsonObject {
  const row: JsonObject = { cells: layout.cells(object) };
  if (include === "Object") row["object"] = object;
  if (include === "Metadata") row["object"] = partialMetadata(object);
  return row;
}

/** The rows with their column heads; `version` is the Table's own API version, which clients choose. */
export function table(layout: TableLayout, rows: Json[], metadata: JsonObject, version = "v1"): JsonObject {
  const columnDefinitions = layout.columns.map((column) => ({
    name: column.name,
    type: column.type,
    format: column.format ?? "",
    description: column.description ?? "",
    priority: column.priority ?? 0,
  }));
  return { kind: "Table", apiVersion: `meta.k8s.io/${version}`, metadata, columnDefinitions, rows };
}

export function partialMetadata(object: KubeObject): JsonObject {
  return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: object.metadata };
}

/** `<none>` for an empty list, else joined by commas. */
export function orNone(items: readonly Json[]): string {
  return items.length === 0 ? "<none>" : items.map(String).join(",");
}

/** A cell that may be missing. */
export function orText(value: Json, missing: string): string {
  return value === undefined || value === null || value === "" ? missing : String(value);
}

export function labelsText(labels: JsonObject): string {
  return orNone(Object.entries(labels).map(([key, value]) => `${key}=${String(value)}`));
}

/** Name and age, which every table begins and ends with. */
export function nameOf(object: KubeObject): string {
  return object.metadata.name;
}

export function ageOf(object: KubeObject): string {
  return age(stringAt(object.metadata, "creationTimestamp"));
}
