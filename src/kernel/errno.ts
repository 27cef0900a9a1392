// SPDX-License-Identifier: Apache-2.0
import { constants } from "node:os";
import { WeftError, type WeftErrorOptions } from "#lib/errors.ts";

const nameByNumber = new Map<number, string>();
for (const [name, number] of Object.entries(constants.errno)) {
  if (!nameByNumber.has(number)) nameByNumber.set(number, name);
}

// Kernel-internal, yet some BPF operations let it through.
nameByNumber.set(524, "ENOTSUPP");

/** `ENOENT` for 2; a number this platform has no name for stays `errno 9999`. */
export function errnoName(errno: number): string {
  return nameByNumber.get(Math.abs(errno)) ?? `errno ${Math.abs(errno)}`;
}

/** What the kernel refused, with the symbolic errno: `E_SYSCALL`, or a finer code of the subsystem (`E_NETLINK`). */
export class KernelError extends WeftError {
  /** `EEXIST`, `ENODEV`, … */
  readonly errno: string;

  constructor(code: string, message: string, errno: number, options: WeftErrorOptions = {}) {
    super(code, message, options);
    this.errno = errnoName(errno);
  }
}

/** True when `thrown` is an error of the kernel with one of these names (`hasErrno(error, "EEXIST")`). */
export function hasErrno(thrown: unknown, ...names: readonly string[]): boolean {
  if (thrown instanceof KernelError) return names.includes(thrown.errno);
  if (thrown instanceof Error && "code" in thrown) return names.includes(String(thrown.code));
  return false;
}
