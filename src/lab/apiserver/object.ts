// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from "node:util";

/** Anything JSON can say. */
export type Json = string | number | boolean | null | undefined | Json[] | JsonObject;
export interface JsonObject {
  [field: string]: Json;
}

export interface OwnerReference extends JsonObject {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
}

/** `metadata` of a stored object. Times are RFC 3339 in UTC with seconds. */
export interface ObjectMeta extends JsonObject {
  name: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  generation?: number;
  labels?: { [key: string]: string };
  annotations?: { [key: string]: string };
  finalizers?: string[];
  ownerReferences?: OwnerReference[];
}

/** A Kubernetes object as it is stored and sent. A stored one is never changed: a write replaces it. */
export interface KubeObject extends JsonObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
}

export function isObject(value: Json): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The object at a path; an empty one when there is none (reading only: it is not put in place). */
export function objectAt(from: Json, ...path: string[]): JsonObject {
  const value = valueAt(from, ...path);
  return isObject(value) ? value : {};
}

/** The list of objects at a path; anything in it that is no object is left out. */
export function listAt(from: Json, ...path: string[]): JsonObject[] {
  const value = valueAt(from, ...path);
  return Array.isArray(value) ? value.filter(isObject) : [];
}

export function stringsAt(from: Json, ...path: string[]): string[] {
  const value = valueAt(from, ...path);
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}

/** The string at a path, "" when there is none. */
export function stringAt(from: Json, ...path: string[]): string {
  const value = valueAt(from, ...path);
  return typeof value === "string" ? value : "";
}

/** The number at a path, 0 when there is none. */
export function numberAt(from: Json, ...path: string[]): number {
  const value = valueAt(from, ...path);
  return typeof value === "number" ? value : 0;
}

export function valueAt(from: Json, ...path: string[]): Json {
  let at: Json = from;
  for (const name of path) {
    if (!isObject(at)) return undefined;
    at = at[name];
  }
  return at;
}

/** The object at `parent[name]`, put there when missing: for writing into a draft. */
export function ensureObject(parent: JsonObject, name: string): JsonObject {
  const present = parent[name];
  if (isObject(present)) return present;
  const made: JsonObject = {};
  parent[name] = made;
  return made;
}

/** Sets a field only when it is absent or null. */
export function setDefault(parent: JsonObject, name: string, value: Json): void {
  if (parent[name] === undefined || parent[name] === null) parent[name] = value;
}

export function clone<T extends Json>(value: T): T {
  if (Array.isArray(value)) return value.map((item) => clone(item)) as T;
  if (!isObject(value)) return value;
  const copy: JsonObject = {};
  for (const name of Object.keys(value)) copy[name] = clone(value[name]);
  return copy as T;
}

/** Deep equality; a field that is undefined counts as absent. */
export function same(a: Json, b: Json): boolean {
  if (isObject(a) && isObject(b)) {
    for (const name of new Set([...Object.keys(a), ...Object.keys(b)])) {
      if (!same(a[name], b[name])) return false;
    }
    return true;
  }
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((item, i) => same(item, b[i]));
  return isDeepStrictEqual(a, b);
}

/** The current time as Kubernetes writes it. */
export function now(): string {
  return `${new Date().toISOString().slice(0, 19)}Z`;
}

const encoded = new WeakMap<KubeObject, string>();
const encodedItems = new WeakMap<KubeObject, string>();

/** JSON of a stored object of a built-in kind as an item of a list, which says kind and version once for all. */
export function encodeItem(object: KubeObject): string {
  let text = encodedItems.get(object);
  if (text === undefined) {
    text = JSON.stringify({ ...object, kind: undefined, apiVersion: undefined });
    encodedItems.set(object, text);
  }
  return text;
}

/** JSON of a stored object, made once however many watchers ask. */
export function encode(object: KubeObject): string {
  let text = encoded.get(object);
  if (text === undefined) {
    text = JSON.stringify(object);
    encoded.set(object, text);
  }
  return text;
}
