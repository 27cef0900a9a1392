// SPDX-License-Identifier: Apache-2.0
import { ApiError, badRequest } from "./errors.ts";
import { clone, isObject, type Json, same, stringAt } from "./object.ts";

const maxOperations = 10_000;

/** RFC 6902. Works on a copy. @throws ApiError 400 for a malformed patch, 422 when an operation cannot be done. */
export function jsonPatch(document: Json, patch: Json): Json {
  if (!Array.isArray(patch)) throw badRequest("a JSON patch is an array of operations");
  if (patch.length > maxOperations)
    throw new ApiError(413, "RequestEntityTooLarge", `a JSON patch may have ${maxOperations} operations`);
  let result = clone(document);
  for (const operation of patch) result = applyOperation(result, operation);
  return result;
}

function applyOperation(document: Json, operation: Json): Json {
  const op = stringAt(operation, "op");
  const path = stringAt(operation, "path");
  const value = isObject(operation) ? operation["value"] : undefined;
  switch (op) {
    case "add":
      return edit(
        document,
        path,
        (parent, key) => insert(parent, key, clone(value)),
        () => clone(value),
      );
    case "remove":
      return edit(document, path, remove, () => null);
    case "replace":
      read(document, path);
      return edit(
        document,
        path,
        (parent, key) => put(parent, key, clone(value)),
        () => clone(value),
      );
    case "test":
      if (!same(read(document, path) ?? null, value ?? null)) throw cannot(`testing value ${path} failed`);
      return document;
    case "copy":
      return applyOperation(document, {
        op: "add",
        path,
        value: read(document, stringAt(operation, "from")),
      });
    case "move": {
      const moved = read(document, stringAt(operation, "from"));
      return applyOperation(applyOperation(document, { op: "remove", path: stringAt(operation, "from") }), {
        op: "add",
        path,
        value: moved,
      });
    }
    default:
      throw badRequest(`unexpected kind of JSON patch operation: ${JSON.stringify(op)}`);
  }
}

function cannot(message: string): ApiError {
  return new ApiError(
    422,
    "Invalid",
    `the server rejected our request due to an error in our request: ${message}`,
    {},
  );
}

function pointer(path: string): string[] {
  if (path === "") return [];
  if (!path.startsWith("/")) throw badRequest(`${JSON.stringify(path)} is not a JSON pointer`);
  return path
    .slice(1)
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function step(at: Json, key: string, path: string): Json {
  if (Array.isArray(at) && /^\d+$/.test(key) && Number(key) < at.length) return at[Number(key)];
  if (isObject(at) && Object.hasOwn(at, key)) return at[key];
  throw cannot(`doc is missing path: ${path}: missing value`);
}

function read(document: Json, path: string): Json {
  return pointer(path).reduce<Json>((at, key) => step(at, key, path), document);
}

type Edit = (parent: Json, key: string) => void;

function edit(document: Json, path: string, change: Edit, whole: () => Json): Json {
  const keys = pointer(path);
  const last = keys.pop();
  if (last === undefined) return whole();
  const parent = keys.reduce<Json>((at, key) => step(at, key, path), document);
  if (!isObject(parent) && !Array.isArray(parent))
    throw cannot(`doc is missing path: ${path}: missing value`);
  change(parent, last);
  return document;
}

function insert(parent: Json, key: string, value: Json): void {
  if (!Array.isArray(parent)) {
    put(parent, key, value);
    return;
  }
  const index = key === "-" ? parent.length : Number(key);
  if (!Number.isInteger(index) || index < 0 || index > parent.length) throw cannot(`invalid index ${key}`);
  parent.splice(index, 0, value);
}

function put(parent: Json, key: string, value: Json): void {
  if (Array.isArray(parent)) parent[Number(key)] = value;
  else if (isObject(parent)) {
    // A plain assignment to this name would change the prototype instead of setting a field.
    if (key === "__proto__") throw cannot("a field cannot be called __proto__");
    parent[key] = value;
  }
}

function remove(parent: Json, key: string): void {
  step(parent, key, key);
  if (Array.isArray(parent)) parent.splice(Number(key), 1);
  else if (isObject(parent)) delete parent[key];
}
