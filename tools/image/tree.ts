// SPDX-License-Identifier: Apache-2.0
import {
  chmodSync,
  globSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";

/** A file, directory or symbolic link of a root file system; owner and times are always root and the image's. */
export type Entry =
  | { readonly type: "dir"; readonly mode: number }
  | { readonly type: "file"; readonly mode: number; readonly data: Buffer }
  | { readonly type: "link"; readonly target: string };

/** Paths without a leading slash (`usr/local/bin/node`) and what lies there. */
export type Tree = Map<string, Entry>;

export function addFile(tree: Tree, path: string, data: Buffer | string, mode = 0o644): void {
  tree.set(path, { type: "file", mode, data: typeof data === "string" ? Buffer.from(data) : data });
}

export function addLink(tree: Tree, path: string, target: string): void {
  tree.set(path, { type: "link", target });
}

export interface CopyOptions {
  /** The folder the patterns are relative to. */
  readonly from: string;
  /** The path in the tree that stands for `from`, without slashes at its ends. */
  readonly to: string;
  readonly exclude?: readonly string[];
}

/** Copies the files that match into the tree. Executable for one is executable for all; nothing else of the mode is kept. */
export function addMatching(
  tree: Tree,
  patterns: readonly string[],
  { from, to, exclude = [] }: CopyOptions,
): void {
  for (const path of globSync(patterns as string[], { cwd: from, exclude: exclude as string[] })) {
    const full = join(from, path);
    const stat = lstatSync(full);
    if (stat.isSymbolicLink()) addLink(tree, join(to, path), readlinkSync(full));
    else if (stat.isFile())
      addFile(tree, join(to, path), readFileSync(full), stat.mode & 0o100 ? 0o755 : 0o644);
  }
}

/** The tree by path, with every parent directory in it, parents before what they hold. */
export function sorted(tree: Tree): [string, Entry][] {
  const whole: Tree = new Map(tree);
  for (const path of tree.keys()) {
    for (let at = dirname(path); at !== "."; at = dirname(at)) {
      if (!whole.has(at)) whole.set(at, { type: "dir", mode: 0o755 });
    }
  }
  return [...whole].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Writes the tree into a directory, for those who build the image with a Dockerfile. */
export function writeTree(tree: Tree, directory: string): void {
  mkdirSync(directory, { recursive: true });
  for (const [path, entry] of sorted(tree)) {
    const full = join(directory, path);
    if (entry.type === "link") symlinkSync(entry.target, full);
    else if (entry.type === "dir") mkdirSync(full, { recursive: true });
    else writeFileSync(full, entry.data);
    // Apart from the call that makes it: the umask has no say.
    if (entry.type !== "link") chmodSync(full, entry.mode);
  }
}
