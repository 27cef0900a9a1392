// SPDX-License-Identifier: Apache-2.0
import { clone, isObject, type Json, type JsonObject } from "./object.ts";

/** RFC 7386: objects merge, null removes, all else replaces. */
export function mergePatch(target: Json, patch: Json): Json {
  if (!isObject(patch)) return clone(patch);
  const out: JsonObject = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete out[name];
    else if (value !== undefined) out[name] = mergePatch(out[name], value);
  }
  return out;
}
