// SPDX-License-Identifier: Apache-2.0

/**
 * Paths of fields that occur twice in one object of a JSON text, which `JSON.parse` passes over in silence.
 * The text must be valid JSON.
 */
export function duplicateFields(json: string): string[] {
  const found: string[] = [];
  const frames: { keys: Set<string> | undefined; index: number; path: string; key: string }[] = [];
  const token = /"(?:[^"\\]|\\.)*"|[{}[\],]/g;
  for (let match = token.exec(json); match; match = token.exec(json)) {
    const text = match[0];
    const top = frames.at(-1);
    if (text === "{" || text === "[") {
      frames.push({ keys: text === "{" ? new Set() : undefined, index: 0, path: childPath(top), key: "" });
    } else if (text === "}" || text === "]") {
      frames.pop();
    } else if (text === ",") {
      if (top) top.index++;
    } else if (top?.keys && isKey(json, token.lastIndex)) {
      top.key = JSON.parse(text) as string;
      if (top.keys.has(top.key)) found.push(childPath(top));
      top.keys.add(top.key);
    }
  }
  return found;
}

function childPath(
  frame: { keys: Set<string> | undefined; index: number; path: string; key: string } | undefined,
): string {
  if (!frame) return "";
  if (!frame.keys) return `${frame.path}[${frame.index}]`;
  return frame.path === "" ? frame.key : `${frame.path}.${frame.key}`;
}

function isKey(json: string, after: number): boolean {
  let at = after;
  while (at < json.length && json.charCodeAt(at) <= 32) at++;
  return json[at] === ":";
}
