// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { parseDocument } from "yaml";
import type * as z from "zod";
import { errorText, WeftError } from "#lib/errors.ts";

/** Reads a program's YAML file by its schema. @throws WeftError E_CONFIG naming the file and the setting. */
export function readSettings<S extends z.ZodType>(schema: S, path: string): z.output<S> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new WeftError("E_CONFIG", `cannot read ${path}`, {
      cause,
      hint: "give the program its file with --config",
    });
  }
  return parseSettings(schema, text, path);
}

/** @throws WeftError E_CONFIG; `path` is what the message calls the text */
export function parseSettings<S extends z.ZodType>(schema: S, text: string, path: string): z.output<S> {
  const document = parseDocument(text);
  const broken = document.errors[0];
  if (broken) throw new WeftError("E_CONFIG", `${path}: ${broken.message}`);
  let value: unknown;
  try {
    value = document.toJS();
  } catch (cause) {
    throw new WeftError("E_CONFIG", `${path}: ${errorText(cause)}`, { cause });
  }
  const result = schema.safeParse(value ?? {});
  if (!result.success) {
    const lines = result.error.issues.map(({ path: at, message }) =>
      at.length === 0 ? message : `${at.join(".")}: ${message}`,
    );
    throw new WeftError("E_CONFIG", `${path}: ${lines.join("; ")}`, {
      hint: "docs/reference/values.md lists the settings",
    });
  }
  return result.data;
}
