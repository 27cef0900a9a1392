// SPDX-License-Identifier: Apache-2.0

import { stringAt } from "#kernel/bpf/elf.ts";
import type { KernelError } from "#kernel/errno.ts";
import { WeftError } from "#lib/errors.ts";

/** A program the kernel refused: the message ends in the verifier's last useful words, `log` has all of them. */
export class VerifierError extends WeftError {
  readonly log: string;
  readonly errno: string;

  constructor(message: string, log: string, cause: KernelError) {
    super("E_BPF_VERIFIER", message, { cause });
    this.log = log;
    this.errno = cause.errno;
  }
}

/** Lines at the end of a log that say what it cost, not what is wrong. */
const STATISTICS = /^(processed \d+ insns|verification time|stack depth|insns processed|mark_precise|$)/;
/** `; if (x > y) @ pod.bpf.c:12`: the source line the following instructions come from. */
const SOURCE = /^;\s*(.*)$/;

/** The error for a failed load; without a log the kernel's own error says more. */
export function verifierError(program: string, cause: KernelError, logBytes: Uint8Array): WeftError {
  const log = stringAt(logBytes, 0).trimEnd();
  const lines = log.split("\n");
  const last = lines.findLastIndex((line) => !STATISTICS.test(line.trim()));
  if (last < 0) return cause;
  const source = lines.slice(0, last).findLast((line) => SOURCE.test(line));
  const where = source === undefined ? "" : ` (at: ${SOURCE.exec(source)![1]!.trim()})`;
  const omitted = last > 0 ? ` (${last} log line(s) omitted)` : "";
  const message = `load program ${program}: ${cause.errno}: ${lines[last]!.trim()}${where}${omitted}`;
  return new VerifierError(message, log, cause);
}
