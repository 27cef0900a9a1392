// SPDX-License-Identifier: Apache-2.0
import type { Btf } from "#kernel/bpf/btf.ts";
import { btfFields } from "#kernel/bpf/btf-fields.ts";

/** A field of a type, nested ones by their path: `low.words[4] at 0: __be32`. Equal lists mean equal memory. */
export function btfShape(btf: Btf, id: number): string[] {
  return btfFields(btf, id).map(({ path, offset, scalar }) => `${path} at ${offset}: ${scalar}`);
}
