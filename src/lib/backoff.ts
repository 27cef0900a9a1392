// SPDX-License-Identifier: Apache-2.0

export interface BackoffOptions {
  /** Wait after the first failure. */
  readonly minMs: number;
  /** No wait is longer. */
  readonly maxMs: number;
  /** 0 (inclusive) to 1; for tests. */
  readonly random?: () => number;
}

/**
 * Wait before try number `failures + 1`: doubles from `minMs` to `maxMs`, and a random half of it is taken off, so
 * that many clients which failed together do not come back together.
 */
export function backoffMs(failures: number, options: BackoffOptions): number {
  const { minMs, maxMs, random = Math.random } = options;
  const full = Math.min(maxMs, minMs * 2 ** Math.min(30, Math.max(0, failures - 1)));
  return Math.round(full * (1 - random() / 2));
}
