// SPDX-License-Identifier: Apache-2.0
import { randomInt } from "node:crypto";

/** Without vowels and look-alikes, as generated names in Kubernetes are: no words. */
const ALPHABET = "bcdfghjklmnpqrstvwxz2456789";

/** Five characters as generateName appends. */
export function randomSuffix(): string {
  return Array.from({ length: 5 }, () => ALPHABET[randomInt(ALPHABET.length)]).join("");
}

/** Text of a number in the same alphabet: template hashes. */
export function hashSuffix(hash: number): string {
  let out = "";
  for (let rest = hash; out.length < 7; rest = Math.floor(rest / ALPHABET.length))
    out += ALPHABET[rest % ALPHABET.length];
  return out;
}
