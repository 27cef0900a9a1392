// SPDX-License-Identifier: Apache-2.0

/** What a part gets for one number of services. */
export interface SizeContext {
  readonly services: number;
  /** As in names of figures: `1,000 services`. */
  readonly size: string;
  /** As asked for on the command line; a part has its own default. */
  readonly rounds: number | undefined;
  readonly signal: AbortSignal;
  progress(text: string): void;
}

export function sizeText(services: number): string {
  return `${services.toLocaleString("en")} service${services === 1 ? "" : "s"}`;
}
