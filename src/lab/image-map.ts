// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parseDocument } from "yaml";
import * as z from "zod";
import { WeftError } from "#lib/errors.ts";
import type { Container } from "./objects.ts";
import { harmlessCommand } from "./stand-in/harmless.ts";

const rule = z.strictObject({
  /** Image reference with `*` for any text: `docker.io/library/nginx:*`, `*agnhost*`. */
  image: z.string().min(1),
  /** Directory that becomes the container's root; absent: the host's files. Relative to the map. */
  root: z.string().optional(),
  /** As an image's own Entrypoint and Cmd: a container's `command` and `args` take their place. */
  entrypoint: z.array(z.string()).default([]),
  cmd: z.array(z.string()).default([]),
  /** Run this whatever the container says. */
  run: z.array(z.string()).min(1).optional(),
  env: z.record(z.string(), z.string()).default({}),
  /** Play it by the stand-in, even when a later rule would match. */
  standIn: z.boolean().default(false),
});

const schema = z.strictObject({ images: z.array(rule).default([]) });

type Rule = z.infer<typeof rule>;
export type ImageMap = readonly Rule[];

/** How a container is run. */
export type Play =
  | { readonly kind: "stand-in" }
  | {
      readonly kind: "process";
      readonly argv: readonly string[];
      readonly root: string | undefined;
      readonly env: Readonly<Record<string, string>>;
    };

/** Reads a map (YAML). @throws WeftError E_IMAGE_MAP naming file and field */
export function loadImageMap(path: string): ImageMap {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new WeftError("E_IMAGE_MAP", `cannot read image map ${path}`, { cause });
  }
  const document = parseDocument(text);
  const broken = document.errors[0];
  if (broken) throw new WeftError("E_IMAGE_MAP", `${path}: ${broken.message}`);
  const parsed = schema.safeParse(document.toJS() ?? {});
  if (!parsed.success) {
    const lines = parsed.error.issues.map((issue) => `${issue.path.join(".") || "file"}: ${issue.message}`);
    throw new WeftError("E_IMAGE_MAP", `${path}: ${lines.join("; ")}`);
  }
  return parsed.data.images.map((one) =>
    one.root === undefined ? one : { ...one, root: resolve(dirname(path), one.root) },
  );
}

/** The first rule whose pattern fits the image decides; no rule: a harmless command is run, all else is a stand-in's. Pure. */
export function playOf(map: ImageMap, container: Container): Play {
  const found = map.find((one) => matches(one.image, container.image ?? ""));
  if (found?.standIn) return { kind: "stand-in" };
  if (!found) {
    const command = harmlessCommand(container);
    return command ? { kind: "process", argv: command, root: undefined, env: {} } : { kind: "stand-in" };
  }
  const command = container.command?.length ? container.command : found.entrypoint;
  const args = container.args ?? (container.command?.length ? [] : found.cmd);
  const argv = found.run ?? [...command, ...args];
  if (argv.length === 0) {
    throw new WeftError(
      "E_IMAGE_MAP",
      `image ${container.image}: neither the container nor the image map says what to run`,
    );
  }
  return { kind: "process", argv, root: found.root, env: found.env };
}

function matches(pattern: string, image: string): boolean {
  const expression = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${expression.join(".*")}$`).test(image);
}
