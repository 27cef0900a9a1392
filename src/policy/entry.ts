// SPDX-License-Identifier: Apache-2.0
import type { PolicyEntry } from "./rule.ts";

/** An entry but for the identity it is about: what many identities have in common. */
export type Said = Omit<PolicyEntry, "identity">;

/**
 * An entry of a resolved policy. There may be millions, of few kinds: an object here is an identity and what is said of it and others
 * alike (40 bytes; with fields of its own it would be three times that).
 */
class SaidEntry implements PolicyEntry {
  readonly identity: number;
  readonly said: Said;

  constructor(identity: number, said: Said) {
    this.identity = identity;
    this.said = said;
  }

  get direction() {
    return this.said.direction;
  }
  get proto() {
    return this.said.proto;
  }
  get portBits() {
    return this.said.portBits;
  }
  get port() {
    return this.said.port;
  }
  get verdict() {
    return this.said.verdict;
  }
  get round() {
    return this.said.round;
  }
  get audit() {
    return this.said.audit;
  }
  get precedence() {
    return this.said.precedence;
  }
  get rule() {
    return this.said.rule;
  }
}

export function entryFor(identity: number, said: Said): PolicyEntry {
  return new SaidEntry(identity, said);
}

/** With fields of its own: to be shown, or compared as a whole. */
export function plainEntry(entry: PolicyEntry): PolicyEntry {
  const { direction, identity, proto, portBits, port, verdict, round, audit, precedence, rule } = entry;
  return {
    ...{ direction, identity, proto, portBits, port, verdict, precedence, rule },
    ...(round && { round }),
    ...(audit && { audit }),
  };
}
