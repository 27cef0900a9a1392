// SPDX-License-Identifier: Apache-2.0
import { parseArgs } from "node:util";
import { errorText } from "#lib/errors.ts";
import { wholeNumber } from "../report.ts";

export const partNames = ["programming", "pods", "nodeport", "changes"] as const;
export type PartName = (typeof partNames)[number];
export const proxyModes = ["iptables", "nftables"] as const;
export type ProxyMode = (typeof proxyModes)[number];

export interface LbOptions {
  /** Numbers of services, growing. */
  readonly services: readonly number[];
  readonly parts: readonly PartName[];
  readonly proxies: readonly ProxyMode[];
  /** Instead of each part's own number. */
  readonly rounds?: number;
  readonly json?: string;
}

export const help = `Measures Weft beside the real kube-proxy and beside a bare cable, on this machine. Needs root; the first run builds Kubernetes.

npm run bench:lb -- [--services N[,N]...] [--only PART[,PART]...] [--proxies MODE[,MODE]] [--rounds N] [--json FILE]

Parts, for each number of services with ten endpoints each:
  programming  CPU seconds of each whole daemon until an empty node has all services; the agent's heap then
  pods         connections and streams from a pod to a service, CPU and rate
  nodeport     generated packets to a NodePort from outside, CPU for each
  changes      time from an endpoint's change in the API to the first packet that fares by it

--services N[,N]...   1,1000,10000 when absent
--proxies MODE        iptables, nftables or both (both)
--rounds N            instead of each part's own number; more rounds, narrower quartiles
--json FILE           the figures as an array of {name, unit, median, q1, q3, rounds, control}
`;

/** @throws Error that says which option is wrong, and how */
export function lbOptions(argv: readonly string[]): LbOptions | "help" {
  const values = parsed(argv);
  if (values.help) return "help";
  const services = split(values.services, ["1", "1000", "10000"]).map((text) =>
    wholeNumber("--services", text, { min: 1, max: 20_000 }),
  );
  return {
    services: [...new Set(services)].sort((a, b) => a - b),
    parts: chosen("--only", split(values.only, partNames), partNames),
    proxies: chosen("--proxies", split(values.proxies, proxyModes), proxyModes),
    ...(values.rounds !== undefined && {
      rounds: wholeNumber("--rounds", values.rounds, { min: 1, max: 1000 }),
    }),
    ...(values.json !== undefined && { json: values.json }),
  };
}

function parsed(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        services: { type: "string", multiple: true, default: [] },
        only: { type: "string", multiple: true, default: [] },
        proxies: { type: "string", multiple: true, default: [] },
        rounds: { type: "string" },
        json: { type: "string" },
        help: { type: "boolean", short: "h", default: false },
      },
    }).values;
  } catch (error) {
    throw new Error(errorText(error), { cause: error });
  }
}

function split(given: readonly string[], otherwise: readonly string[]): readonly string[] {
  return given.length === 0 ? otherwise : given.flatMap((text) => text.split(","));
}

/** Those of the known that were named, in the order of the known. */
function chosen<T extends string>(option: string, named: readonly string[], known: readonly T[]): T[] {
  const unknown = named.find((name) => !known.some((one) => one === name));
  if (unknown !== undefined) throw new Error(`${option}: "${unknown}" is none of ${known.join(", ")}`);
  return known.filter((one) => named.includes(one));
}
