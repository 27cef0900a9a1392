// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";

/** A port somebody asks about. */
export interface PortQuestion {
  /** ICMP and ICMPv6: the type; 0 for protocols that have neither. */
  readonly port: number;
  /** IANA number. */
  readonly proto: number;
}

const numbers = { TCP: 6, UDP: 17, SCTP: 132, ICMP: 1, ICMPv6: 58 } as const;
const echoRequest: Readonly<Record<number, number>> = { 1: 8, 58: 128 };

/** 0 for a name there is not. */
export function protocolNumber(name: string): number {
  return (numbers as Readonly<Record<string, number>>)[name] ?? 0;
}

/** `TCP`; a protocol without name is its number. */
export function protocolName(proto: number): string {
  const found = Object.entries(numbers).find(([, number]) => number === proto);
  return found ? found[0] : String(proto);
}

/**
 * `80`, `80/TCP`, `53/UDP`, `ICMP` (an echo request), `ICMP/3` or `3/ICMP`, `ICMPv6`, and `47` as a protocol's number: `IP/47`.
 * @throws WeftError E_USAGE
 */
export function parsePort(text: string): PortQuestion {
  const [, first, second] = /^([^/]+)(?:\/([^/]+))?$/.exec(text) ?? [];
  const fail = (why: string) =>
    new WeftError("E_USAGE", `"${text}" is no port: ${why}`, {
      hint: "a port is 80/TCP, 53/UDP, 9999/SCTP, ICMP, ICMP/3 or ICMPv6",
    });
  if (first === undefined) throw fail("not PORT/PROTOCOL");
  const upper = (name: string) =>
    name
      .toUpperCase()
      .replace(/^ICMPV6$/, "ICMPv6")
      .replace(/^ICMPV4$/, "ICMP");
  const named = protocolNumber(upper(first));
  if (upper(first) === "IP" && second !== undefined && /^\d{1,3}$/.test(second) && Number(second) < 256)
    return { port: 0, proto: Number(second) };
  const proto = named !== 0 ? named : protocolNumber(upper(second ?? "TCP"));
  const number = named !== 0 ? second : first;
  if (proto === 0) throw fail(`"${second}" is no protocol`);
  const icmp = proto in echoRequest;
  if (number === undefined) {
    if (icmp) return { port: echoRequest[proto]!, proto };
    throw fail("which port?");
  }
  const port = Number(number);
  const last = icmp ? 255 : 65_535;
  if (!/^\d+$/.test(number) || port > last || (port === 0 && !icmp)) throw fail(`not from 1 to ${last}`);
  return { port, proto };
}

/** `80/TCP`, `ICMP`, `ICMP/3`: the inverse of {@link parsePort}. */
export function portText({ port, proto }: PortQuestion): string {
  const name = protocolName(proto);
  if (proto in echoRequest) return port === echoRequest[proto] ? name : `${name}/${port}`;
  return protocolNumber(name) === 0 ? `IP/${proto}` : `${port}/${name}`;
}
