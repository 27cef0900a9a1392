// SPDX-License-Identifier: Apache-2.0
import { errorText, WeftError } from "#lib/errors.ts";
import { type Address, hostPrefix, isAddress, type Prefix, parseAddress, parsePrefix } from "#model/ip.ts";

/** How many prefixes a node denies at most; the maps (`bpf/lib/maps.h`) have room for as many. */
export const mostCidrs = 65_536;

/**
 * One prefix of a list of those to deny; an address alone is a prefix of its own. Host bits that are set are refused, not cleared: a
 * slip in the length would deny far more than what was meant.
 * @throws WeftError E_CIDR
 */
export function parseCidr(text: string): Prefix {
  try {
    if (!text.includes("/")) return hostPrefix(parseAddress(text));
    const prefix = parsePrefix(text);
    const [address, bits] = text.split("/") as [string, string];
    if (prefix === `${parseAddress(address)}/${Number(bits)}`) return prefix;
    throw new WeftError("E_CIDR", `"${text}" has host bits set`, {
      hint: `write ${prefix} if all of it is meant, or ${address} for the one address`,
    });
  } catch (thrown) {
    if (thrown instanceof WeftError && thrown.code === "E_CIDR") throw thrown;
    throw new WeftError("E_CIDR", `"${text}" is neither a CIDR prefix nor an address`, { cause: thrown });
  }
}

/**
 * A list as feeds publish them: a prefix or address a line, or several; what follows `#` or `;` says nothing.
 * @param name of the file, for messages
 * @throws WeftError E_CIDR naming file and line
 */
export function parseCidrList(text: string, name: string): Prefix[] {
  return text.split(/\r?\n/).flatMap((line, index) =>
    line
      .replace(/[#;].*$/, "")
      .split(/[\s,]+/)
      .filter((word) => word !== "")
      .map((word) => {
        try {
          return parseCidr(word);
        } catch (thrown) {
          const hint = thrown instanceof WeftError ? thrown.hint : undefined;
          throw new WeftError("E_CIDR", `${name}:${index + 1}: ${errorText(thrown)}`, {
            cause: thrown,
            ...(hint !== undefined && { hint }),
          });
        }
      }),
  );
}

/** The text as an address, if it is one: what the shell of a remote login says of its other end may be anything. */
export function addressIn(text: string | undefined): Address | undefined {
  return text !== undefined && isAddress(text) ? text : undefined;
}
