// SPDX-License-Identifier: Apache-2.0
import { objectName } from "#api/crd/manifest.ts";
import { WeftError } from "#lib/errors.ts";
import type { FieldError } from "../errors.ts";
import { isObject, type Json, type KubeObject } from "../object.ts";

/** A validation that throws `E_MANIFEST` with a path, as one that returns field errors. */
export function manifestErrors(validate: (object: unknown) => void, object: KubeObject): FieldError[] {
  try {
    validate(object);
    return [];
  } catch (thrown) {
    if (!(thrown instanceof WeftError) || thrown.code !== "E_MANIFEST") throw thrown;
    const text = thrown.message.slice(objectName(object).length + 2);
    const match = /^([\w$]+(?:\.[\w$-]+|\[\d+\]|\["[^"]*"\])*): ([\s\S]*)$/.exec(text);
    if (!match) return [{ type: "Invalid", path: "spec", value: objectName(object), detail: text }];
    const [, path, detail] = match;
    if (detail === "is required") return [{ type: "Required", path: path! }];
    return [{ type: "Invalid", path: path!, value: shown(valueAtPath(object, path!)), detail: detail! }];
  }
}

/** Whole objects would bury the message. */
function shown(value: Json): Json {
  return typeof value === "object" && value !== null ? (Array.isArray(value) ? "array" : "object") : value;
}

function valueAtPath(object: Json, path: string): Json {
  let at = object;
  for (const [, index, quoted, name] of path.matchAll(/\[(\d+)\]|\["([^"]*)"\]|([\w$-]+)/g)) {
    if (index !== undefined && Array.isArray(at)) at = at[Number(index)];
    else if (isObject(at)) at = at[quoted ?? name ?? ""];
    else return undefined;
  }
  return at;
}
