// SPDX-License-Identifier: Apache-2.0

export interface WeftErrorOptions {
  /** What to do next, one sentence; printed on its own line by the command. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/**
 * The one error class of Weft. `code` is stable and meant for programs (`E_NOT_SUPPORTED`, `E_MANIFEST`),
 * `message` says what failed and on which object, `hint` what to do next.
 */
export class WeftError extends Error {
  readonly code: string;
  readonly hint: string | undefined;

  constructor(code: string, message: string, options: WeftErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "WeftError";
    this.code = code;
    this.hint = options.hint;
  }
}

/** The text of anything thrown, with its causes, joined by `: `. Never throws. */
export function errorText(thrown: unknown): string {
  const parts: string[] = [];
  let at: unknown = thrown;
  for (let depth = 0; depth < 8 && at !== undefined && at !== null; depth++) {
    const text = at instanceof Error ? at.message : String(at);
    if (!parts.at(-1)?.includes(text)) parts.push(text);
    at = at instanceof Error ? at.cause : undefined;
  }
  return parts.join(": ");
}

/** True for the rejection that follows an aborted signal: the one error that needs no report. */
export function isAbort(thrown: unknown): boolean {
  return thrown instanceof Error && (thrown.name === "AbortError" || thrown.name === "TimeoutError");
}
