// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { globSync, mkdirSync, readFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { writeImage } from "../../../tools/image/oci.ts";
import { addFile, type Tree } from "../../../tools/image/tree.ts";

const root = join(import.meta.dirname, "../../..");
export const loadImage = "weft.local/load:0.1.0";

/** Compiles the traffic generator when its source changed; path of the static program. */
export function loadProgram(): string {
  const program = join(root, "build/k8s/weft-load");
  const sources = globSync(join(import.meta.dirname, "*.[ch]"));
  if (sources.every((source) => mtimeMs(source) < mtimeMs(program))) return program;
  mkdirSync(join(root, "build/k8s"), { recursive: true });
  const flags = ["-O2", "-static", "-s", "-Wall", "-Wextra", "-Werror", "-o", `${program}.new`];
  const sourceFiles = sources.filter((source) => source.endsWith(".c"));
  execFileSync(process.env["CC"] ?? "clang-19", [...flags, ...sourceFiles], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  renameSync(`${program}.new`, program);
  return program;
}

/** An image that holds the program and nothing else; path of the archive. */
export function loadImageArchive(): string {
  const program = loadProgram();
  const archive = join(root, "build/k8s/load.tar");
  if (mtimeMs(archive) > mtimeMs(program)) return archive;
  const tree: Tree = new Map();
  addFile(tree, "weft-load", readFileSync(program), 0o755);
  const layers = [{ name: "load", title: "traffic generator", tree }];
  writeImage({ name: loadImage, layers, entrypoint: ["/weft-load"], user: "0:0" }, { out: archive });
  return archive;
}

function mtimeMs(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
