// SPDX-License-Identifier: Apache-2.0
import { parseDocument } from "yaml";
import * as z from "zod";
import { errorText, WeftError } from "#lib/errors.ts";
import { type Prefix, parsePrefix } from "#model/ip.ts";

/** A destination to which pods go by their own addresses. */
export interface MasqueradeExemption {
  readonly prefix: Prefix;
  /** Who says so: the list itself, ip-masq-agent's defaults in its place, or what it leaves out unless it is told otherwise. */
  readonly origin: "list" | "default" | "link-local";
}

/** What ip-masq-agent takes for private when it is told nothing: networks that are not of the Internet. */
const defaults = [
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "100.64.0.0/10",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "240.0.0.0/4",
].map(parsePrefix);

const linkLocalV4 = parsePrefix("169.254.0.0/16");
const linkLocalV6 = parsePrefix("fe80::/10");

/** Keys of other versions of the program (resyncInterval) say nothing to us. */
const listSchema = z.object({
  nonMasqueradeCIDRs: z.array(z.string()).nullish(),
  masqLinkLocal: z.boolean().nullish(),
  masqLinkLocalIPv6: z.boolean().nullish(),
});

/**
 * The configuration of ip-masq-agent, YAML or JSON: `nonMasqueradeCIDRs`, `masqLinkLocal`, `masqLinkLocalIPv6`. Nothing in it at all means
 * its defaults; a list without prefixes means link-local destinations alone. Pure.
 * @throws WeftError E_MASQUERADE_LIST saying what is wrong with it
 */
export function masqueradeExemptions(text: string): MasqueradeExemption[] {
  const given = read(text);
  const found = new Map<Prefix, MasqueradeExemption>();
  const add = (prefix: Prefix, origin: MasqueradeExemption["origin"]) => {
    if (!found.has(prefix)) found.set(prefix, { prefix, origin });
  };
  for (const prefix of given?.nonMasqueradeCIDRs ?? []) add(parse(prefix), "list");
  if (!given) for (const prefix of defaults) add(prefix, "default");
  if (!given?.masqLinkLocal) add(linkLocalV4, "link-local");
  if (!given?.masqLinkLocalIPv6) add(linkLocalV6, "link-local");
  return [...found.values()];
}

/** Undefined: the text says nothing. */
function read(text: string): z.output<typeof listSchema> | undefined {
  const document = parseDocument(text);
  const broken = document.errors[0];
  if (broken) throw refused(broken.message);
  const value: unknown = document.toJS();
  if (value === null || value === undefined) return undefined;
  const result = listSchema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw refused(`${issue.path.join(".") || "it"}: ${issue.message}`);
}

function parse(text: string): Prefix {
  try {
    return parsePrefix(text.trim());
  } catch (cause) {
    throw refused(`nonMasqueradeCIDRs: ${errorText(cause)}`);
  }
}

function refused(problem: string): WeftError {
  return new WeftError("E_MASQUERADE_LIST", problem, {
    hint: "the list stays what it was until its ConfigMap is right",
  });
}
