// SPDX-License-Identifier: Apache-2.0
import { chmodSync, copyFileSync, lstatSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { nativeProgram } from "#lib/assets.ts";
import type { Logger } from "#lib/log.ts";

/** The plugin's name, as CNI configurations say it (`type`). */
const plugin = "weft-cni";
const loopback = "loopback";
/** What tells our loopback program from another one of that name; see src/cni/loopback.c. */
const loopbackMark = "weft-loopback";

/**
 * Puts the CNI plugin where the container runtime looks for it, and `loopback` beside it when there is none: runtimes execute that one first.
 * A program that is the same already is not touched; a changed one is replaced in one step, for it may be running.
 * @throws WeftError E_INSTALL; file system errors
 */
export function installCniPrograms(dir: string, log: Logger): void {
  mkdirSync(dir, { recursive: true, mode: 0o755 });
  install(nativeProgram(plugin), join(dir, plugin), log);
  const path = join(dir, loopback);
  if (!exists(path) || isOurLoopback(path)) install(nativeProgram(loopback), path, log);
}

/** Takes our programs away again; another's `loopback` stays. Returns what was removed. */
export function removeCniPrograms(dir: string): string[] {
  const ours = [join(dir, plugin)].filter(exists);
  if (isOurLoopback(join(dir, loopback))) ours.push(join(dir, loopback));
  for (const path of ours) rmSync(path, { force: true });
  return ours;
}

function install(from: string, to: string, log: Logger): void {
  if (content(to)?.equals(readFileSync(from))) return;
  const temporary = `${to}.new`;
  copyFileSync(from, temporary);
  chmodSync(temporary, 0o755);
  renameSync(temporary, to);
  log.info({ program: to }, "CNI program installed");
}

/** A link counts whatever it leads to: its target may be a path of the host that a container does not have. */
function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function isOurLoopback(path: string): boolean {
  return (
    lstatSync(path, { throwIfNoEntry: false })?.isFile() === true &&
    content(path)?.includes(loopbackMark) === true
  );
}

function content(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}
