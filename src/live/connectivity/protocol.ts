// SPDX-License-Identifier: Apache-2.0
// What the connectivity test and the program in its pods say to each other: a line of JSON each way.

/** One real attempt. Hosts are addresses, except for `name` and `https`. */
export type Attempt =
  | { readonly kind: "tcp" | "udp"; readonly host: string; readonly port: number }
  | { readonly kind: "icmp"; readonly host: string }
  /** Sends so many bytes, in one datagram with UDP, and wants them back as they were. */
  | {
      readonly kind: "bulk" | "datagram";
      readonly host: string;
      readonly port: number;
      readonly bytes: number;
    }
  | { readonly kind: "name"; readonly name: string }
  /** Any HTTP answer counts. */
  | { readonly kind: "https"; readonly host: string; readonly port: number };

export interface Question {
  readonly id: number;
  readonly attempt: Attempt;
  readonly timeoutMs: number;
}

/** `silence`: nothing came back, as when a policy denies; `refused`: somebody said no; `failed`: the text says why. */
export type Outcome = "answer" | "silence" | "refused" | "failed";

export interface Reply {
  readonly id: number;
  readonly outcome: Outcome;
  /** Who answered, as `pod peer`; addresses of a name; the reason of a failure. */
  readonly text: string;
  readonly ms: number;
}

/** Ports the program listens on, TCP and UDP; policies allow the first and not the second. */
export const podPorts = { main: 8080, other: 8081 } as const;
/** On the host's network, where 8080 may be taken. */
export const hostPorts = { main: 28_480, other: 28_481 } as const;
