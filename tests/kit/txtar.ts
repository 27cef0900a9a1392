// SPDX-License-Identifier: Apache-2.0

/** A text file of several: a comment, then sections that begin with `-- name --`, as Go's txtar has them. */
export interface Txtar {
  readonly comment: string;
  readonly files: ReadonlyMap<string, string>;
}

export function parseTxtar(text: string): Txtar {
  const files = new Map<string, string>();
  const [comment, ...rest] = text.split(/^-- (\S+) --\n/m);
  for (let i = 0; i + 1 < rest.length; i += 2) files.set(rest[i]!, rest[i + 1]!);
  return { comment: comment ?? "", files };
}

export function formatTxtar({ comment, files }: Txtar): string {
  return comment + [...files].map(([name, text]) => `-- ${name} --\n${text}`).join("");
}
