// SPDX-License-Identifier: Apache-2.0

/**
 * Whether a text is a regular expression of RE2 (github.com/google/re2/wiki/Syntax), the ones that HTTP rules are written in. What RE2 does not
 * have is told apart by name; the rest is what the language's own expressions take.
 */
export function isRe2(text: string): boolean {
  if (/\(\?(=|!|<=|<!)/.test(text) || /(^|[^\\])(\\\\)*\\[1-9]/.test(text)) return false;
  const own = text
    .replace(/\(\?P</g, "(?<")
    .replace(/^\(\?[imsU]+\)/, "")
    .replace(/\\[Az]/g, "")
    .replace(/\\Q.*?(\\E|$)/gs, "")
    .replace(/\\[pP](\{\^?[\w]+\}|\w)/g, "x");
  try {
    new RegExp(own);
    return true;
  } catch {
    return false;
  }
}
