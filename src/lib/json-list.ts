// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "./errors.ts";

/**
 * A list as people hand it in: a JSON array, or one value a line.
 * @param name of the file, for the message
 * @throws WeftError with `code` when it is neither
 */
export function parseJsonList(text: string, name: string, code: string): unknown[] {
  const trimmed = text.trim();
  const lines = trimmed.split("\n").filter((line) => line.trim() !== "");
  let list: unknown;
  try {
    list = trimmed.startsWith("[") ? JSON.parse(trimmed) : lines.map((line) => JSON.parse(line) as unknown);
  } catch (cause) {
    throw new WeftError(code, `${name}: not JSON`, { cause });
  }
  if (!Array.isArray(list)) throw new WeftError(code, `${name}: not a list`);
  return list;
}
