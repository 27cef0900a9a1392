// SPDX-License-Identifier: Apache-2.0
import type { Context } from "./context.ts";

export interface Scenario {
  readonly name: string;
  /** What it shows, one sentence. */
  readonly shows: string;
  /** It is about two nodes. */
  readonly twoNodes?: boolean;
  /** What to look at when it fails. */
  readonly hint: string;
  run(context: Context): Promise<void>;
}
