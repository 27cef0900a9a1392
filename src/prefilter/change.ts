// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";
import { WeftError } from "#lib/errors.ts";
import type { Prefix } from "#model/ip.ts";
import { mostCidrs, parseCidr } from "./cidrs.ts";

/** A prefix whose packets end at the node's device. */
export interface DeniedCidr {
  readonly cidr: Prefix;
  /** When it came onto the list, seconds since the epoch. */
  readonly addedSec: number;
  /** What whoever added it wrote beside it. */
  readonly comment: string;
}

export type DeniedCidrs = ReadonlyMap<Prefix, DeniedCidr>;

/** What the command asks an agent for: a whole change, done or not. */
export const changeSchema = z.strictObject({
  op: z.enum(["add", "delete", "replace", "flush"]),
  cidrs: z
    .array(z.string().max(64))
    .max(4 * mostCidrs)
    .default([]),
  comment: z.string().max(200).default(""),
  /** Deny also what locks out, or cuts off other nodes. */
  force: z.boolean().default(false),
  /** `delete`: pass over what is not on the list. */
  ignoreNotFound: z.boolean().default(false),
  /** Whence whoever asks is logged in. */
  client: z.string().max(64).optional(),
});

export type PrefilterChange = z.input<typeof changeSchema>;

/** What a change came to. */
export interface PrefilterResult {
  readonly added: number;
  readonly removed: number;
  /** On the list before as after, of those the change names. */
  readonly unchanged: number;
  readonly total: number;
  /** What was forced. */
  readonly warnings: readonly string[];
}

/** @throws WeftError E_PREFILTER_REQUEST, or E_CIDR for what is no prefix */
export function readChange(
  body: unknown,
): z.output<typeof changeSchema> & { readonly prefixes: readonly Prefix[] } {
  const result = changeSchema.safeParse(body);
  if (!result.success) {
    const issue = result.error.issues[0]!;
    throw new WeftError("E_PREFILTER_REQUEST", `${issue.path.join(".") || "the request"}: ${issue.message}`);
  }
  return { ...result.data, prefixes: [...new Set(result.data.cidrs.map(parseCidr))] };
}

/**
 * The list after a change. What is on it already keeps its time and comment. Pure.
 * @throws WeftError E_NOT_FOUND for prefixes to delete that are not on it, E_TOO_MANY
 */
export function changeList(
  before: DeniedCidrs,
  change: ReturnType<typeof readChange>,
  nowSec: number,
): DeniedCidrs {
  const { op, prefixes, comment } = change;
  const after = new Map(op === "add" || op === "delete" ? before : []);
  if (op === "delete") {
    const unknown = prefixes.filter((cidr) => !after.delete(cidr));
    if (unknown.length > 0 && !change.ignoreNotFound)
      throw new WeftError("E_NOT_FOUND", `not on the list: ${some(unknown)}`, {
        hint: "nothing was deleted; `weft prefilter list` shows the list, --ignore-not-found passes over these",
      });
  } else if (op !== "flush") {
    for (const cidr of prefixes) after.set(cidr, before.get(cidr) ?? { cidr, addedSec: nowSec, comment });
  }
  if (after.size > mostCidrs)
    throw new WeftError(
      "E_TOO_MANY",
      `${after.size} CIDRs are more than the ${mostCidrs} there is room for`,
      {
        hint: "the list stays as it was; join neighbouring prefixes to shorter ones",
      },
    );
  return after;
}

/** The first few of a list that may be long. */
export function some(items: readonly string[]): string {
  const shown = items.slice(0, 5).join(", ");
  return items.length > 5 ? `${shown} and ${items.length - 5} more` : shown;
}
