// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { BpfLink } from "#kernel/bpf/link.ts";
import type { BpfProgram } from "#kernel/bpf/program.ts";
import { hasErrno } from "#kernel/errno.ts";
import { errorText } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";

/**
 * A link that outlives the agent, known by its pin. One that is there gets the new program in one step, so no packet goes without;
 * one that has lost its device, or was attached elsewhere, is made anew.
 */
export function ensureLink(
  path: string,
  program: BpfProgram,
  attach: () => BpfLink,
  options: { readonly ifindex?: number; readonly log: Logger },
): void {
  mkdirSync(dirname(path), { recursive: true });
  if (existsSync(path)) {
    try {
      using link = BpfLink.openPinned(path);
      if (options.ifindex === undefined || link.info().ifindex === options.ifindex) {
        link.update(program);
        return;
      }
      options.log.info({ link: path }, "pinned link belongs to a device that is gone, attaching anew");
    } catch (error) {
      options.log.warn(
        { link: path, error: errorText(error) },
        "pinned link can't be taken over, attaching anew",
      );
    }
    rmSync(path, { force: true });
  }
  using link = attach();
  link.pin(path);
}

/** Detaches at once and forgets the pin: a reference that goes is seen only some time later, and meanwhile nobody else has the place. */
export function detachPinned(path: string): void {
  try {
    using link = BpfLink.openPinned(path);
    link.detach();
  } catch (error) {
    if (!hasErrno(error, "ENOLINK")) throw error; // its device is gone
  }
  rmSync(path, { force: true });
}

/** Forgets a pin; the kernel detaches the program with the last reference. */
export function dropLink(path: string): void {
  rmSync(path, { force: true });
}
