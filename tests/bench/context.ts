// SPDX-License-Identifier: Apache-2.0
import type { Figure } from "./stats.ts";

/** What a part of the bench gets. */
export interface BenchContext {
  /** As asked for on the command line; a part has its own default. */
  readonly rounds: number | undefined;
  readonly signal: AbortSignal;
  /** Name of the labs this run brings up (`WEFT_LAB`), at most 11 letters. */
  readonly name: string;
  /** One short line about what is going on. */
  progress(text: string): void;
}

export interface BenchPart {
  readonly name: string;
  /** For `--help`. */
  readonly what: string;
  run(context: BenchContext): Promise<Figure[]>;
}
