// SPDX-License-Identifier: Apache-2.0

import { FlowEventOffset } from "#datapath/layouts/flow-event.ts";
import { WeftError } from "#lib/errors.ts";
import {
  type Address,
  addressBytes,
  parseAddress,
  parsePrefix,
  prefixAddress,
  prefixBits128,
} from "#model/ip.ts";
import type { Match } from "./match.ts";
import { IpProtocol } from "./names.ts";

/** Addresses and CIDR prefixes, either family. */
export function cidrMatch(values: readonly string[], field: string, at: "saddr" | "daddr"): Match {
  const prefixes = values.map((text) => {
    try {
      const prefix = text.includes("/") ? parsePrefix(text) : undefined;
      const address: Address = prefix ? prefixAddress(prefix) : parseAddress(text);
      return { bytes: addressBytes(address), bits: prefix ? prefixBits128(prefix) : 128 };
    } catch (cause) {
      throw new WeftError("E_FILTER", `${field}: "${text}" is neither an IP address nor a CIDR prefix`, {
        cause,
      });
    }
  });
  const offset = FlowEventOffset[at];
  return (record) =>
    prefixes.some(({ bytes, bits }) => hasPrefix(record.view, record.offset + offset, bytes, bits));
}

function hasPrefix(view: DataView, offset: number, bytes: Uint8Array, bits: number): boolean {
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) if (view.getUint8(offset + i) !== bytes[i]) return false;
  const rest = bits & 7;
  return rest === 0 || (view.getUint8(offset + whole) ^ bytes[whole]!) >> (8 - rest) === 0;
}

export function identityMatch(values: readonly number[], at: "srcIdentity" | "dstIdentity"): Match {
  const wanted = new Set(values);
  const field = FlowEventOffset[at];
  return (record) => wanted.has(record.u32(field));
}

/** Ports of TCP, UDP and SCTP; other protocols have none. */
export function portMatch(values: readonly string[], field: string, at: "sport" | "dport"): Match {
  const wanted = new Set(
    values.map((text) => {
      const port = Number(text);
      if (!/^\d{1,5}$/.test(text) || port > 65_535)
        throw new WeftError("E_FILTER", `${field}: "${text}" is not a port`);
      return port;
    }),
  );
  const offset = FlowEventOffset[at];
  return (record) => {
    const { proto } = record;
    const hasPorts = proto === IpProtocol.tcp || proto === IpProtocol.udp || proto === IpProtocol.sctp;
    return hasPorts && wanted.has(record.port(offset));
  };
}
