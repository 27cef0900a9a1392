// SPDX-License-Identifier: Apache-2.0
// Debian packages as trees: fetched by apt (which checks the archive's signatures), kept by checksum, unpacked without a chroot.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { WeftError } from "#lib/errors.ts";
import { readTar } from "./tar.ts";
import type { Tree } from "./tree.ts";

export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  /** Of the .deb file. */
  readonly sha256: string;
  /** The package's stanza, as dpkg keeps it of installed packages. */
  readonly control: string;
  readonly files: Tree;
}

/** What apt resolves these names to, at this machine's architecture; files are kept in `cacheDir`. @throws WeftError E_IMAGE */
export function debianPackages(names: readonly string[], cacheDir: string): DebianPackage[] {
  mkdirSync(cacheDir, { recursive: true });
  const found = resolve(names);
  const missing = found.filter(({ file, sha256 }) => digestOf(join(cacheDir, file)) !== sha256);
  for (const { file } of missing) rmSync(join(cacheDir, file), { force: true });
  if (missing.length > 0) apt(["download", ...missing.map(({ name }) => name)], cacheDir);
  return found.map(({ name, file, sha256 }) => {
    const path = join(cacheDir, file);
    if (digestOf(path) !== sha256) throw new WeftError("E_IMAGE", `${path} is not what apt promised`);
    const control = command("dpkg-deb", ["--field", path]).toString();
    return {
      name,
      sha256,
      control,
      version: field(control, "Version"),
      architecture: field(control, "Architecture"),
      files: readTar(command("dpkg-deb", ["--fsys-tarfile", path])),
    };
  });
}

interface Resolved {
  readonly name: string;
  readonly file: string;
  readonly sha256: string;
}

/** Lines `'URI' FILE SIZE SHA256:DIGEST`; a machine whose package lists were never fetched gets them first. */
function resolve(names: readonly string[]): Resolved[] {
  const ask = () => spawnSync("apt-get", ["download", "--print-uris", ...names], { encoding: "utf8" });
  let answer = ask();
  if (answer.status !== 0) {
    apt(["update", "-q"], ".");
    answer = ask();
  }
  const lines = (answer.stdout ?? "").split("\n").filter((line) => line.startsWith("'"));
  const found = lines.map((line) => {
    const [, file = "", , hash = ""] = line.split(" ");
    return { file, name: file.split("_")[0] ?? "", sha256: hash.replace("SHA256:", "") };
  });
  const unknown = names.filter((name) => !found.some((one) => one.name === name));
  if (unknown.length > 0) {
    throw new WeftError("E_IMAGE", `apt does not know ${unknown.join(", ")}: ${answer.stderr.trim()}`, {
      hint: "build the image on Debian 12, with its package archive reachable",
    });
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function apt(args: readonly string[], cwd: string): void {
  const { status, stderr, error } = spawnSync("apt-get", ["-q", ...args], { cwd, encoding: "utf8" });
  if (status !== 0) {
    throw new WeftError("E_IMAGE", `apt-get ${args.join(" ")} failed: ${stderr?.trim()}`, { cause: error });
  }
}

function command(file: string, args: readonly string[]): Buffer {
  const { status, stdout, stderr, error } = spawnSync(file, args, { maxBuffer: 512 << 20 });
  if (status !== 0) {
    throw new WeftError("E_IMAGE", `${file} ${args.join(" ")} failed: ${stderr?.toString().trim()}`, {
      cause: error,
    });
  }
  return stdout;
}

function digestOf(path: string): string | undefined {
  return existsSync(path) ? createHash("sha256").update(readFileSync(path)).digest("hex") : undefined;
}

function field(control: string, name: string): string {
  return new RegExp(`^${name}: (.*)$`, "m").exec(control)?.[1] ?? "";
}
