// SPDX-License-Identifier: Apache-2.0
import fc from "#kit/property.ts";

/** Keys that objects have without anybody putting them there. */
const inherited = ["__proto__", "constructor", "toString"];

/** Values of every shape, made of a reader's own words, so that many get deep before they are wrong. */
export function junk(words: readonly string[], scalars: readonly unknown[]): fc.Arbitrary<unknown> {
  return fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 6, withCrossShrink: true },
      fc.constantFrom(...scalars, "", true, null, undefined, -1, 1.5, 80),
      fc.array(tie("value"), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...words, ...inherited), tie("value"), { maxKeys: 4 }),
    ),
  })).value;
}

/** A text with some of it gone, doubled or replaced. */
export function mangled(texts: readonly string[]): fc.Arbitrary<string> {
  const odd = fc.constantFrom(
    "",
    "\t",
    "\n",
    "{",
    "[",
    "]",
    "*a",
    "&a ",
    "!!",
    "|",
    ": ",
    "- ",
    "\u0000",
    "\ud800",
    "ä",
    "%",
  );
  const cut = fc.record({
    at: fc.nat(400),
    length: fc.nat(12),
    put: fc.oneof(odd, fc.string({ maxLength: 5 })),
  });
  return fc
    .tuple(fc.constantFrom(...texts), fc.array(cut, { minLength: 1, maxLength: 4 }))
    .map(([text, cuts]) =>
      cuts.reduce((left, { at, length, put }) => {
        const from = at % (left.length + 1);
        return left.slice(0, from) + put + left.slice(from + length);
      }, text),
    );
}
