// SPDX-License-Identifier: Apache-2.0
import { WeftError } from "#lib/errors.ts";

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const nextUnit: Readonly<Record<string, string>> = { d: "h", h: "m", m: "s", s: "ms" };

/** `3s`, `4m`, `1h43m`, `1h43`: milliseconds; undefined when it is no duration. A last number without unit has the next smaller one. */
export function parseDurationMs(text: string): number | undefined {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)?/g)];
  if (parts.length === 0 || parts.map(([all]) => all).join("") !== text) return undefined;
  let total = 0;
  let before: string | undefined;
  for (const [i, [, number, given]] of parts.entries()) {
    const unit = given ?? (i === parts.length - 1 && before !== undefined ? nextUnit[before] : undefined);
    if (unit === undefined) return undefined;
    total += Number(number) * unitMs[unit]!;
    before = unit;
  }
  return total;
}

const absolute =
  /^(\d{4}-\d{2}-\d{2})(?:T(\d{2})(?::(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?)?(Z|[+-]\d{2}:\d{2}))?$/;

/**
 * A moment in nanoseconds since the epoch: a duration before now, "now", a date (`2026-11-22`), a date with hour, minute or second and
 * zone (`2026-11-22T15:04:05.123Z`), `Nov 22 15:04:05.123` of this year in UTC, or RFC 1123 with a numeric zone.
 * @throws WeftError E_USAGE
 */
export function parseMoment(text: string, nowMs: number): bigint {
  if (text === "now") return ns(nowMs);
  const durationMs = parseDurationMs(text);
  if (durationMs !== undefined) return ns(nowMs - durationMs);
  const match = absolute.exec(text);
  if (match) {
    const [, date, hour = "00", minute = "00", second = "00", fraction = "", zone = "Z"] = match;
    const ms = Date.parse(`${date}T${hour}:${minute}:${second}${zone}`);
    if (!Number.isNaN(ms)) return ns(ms) + BigInt(fraction.padEnd(9, "0"));
  }
  const stamp = /^([A-Z][a-z]{2})\s+(\d{1,2}) (\d{2}:\d{2}:\d{2})\.(\d{3})$/.exec(text);
  const written = stamp
    ? `${stamp[2]} ${stamp[1]} ${new Date(nowMs).getUTCFullYear()} ${stamp[3]} +0000`
    : text;
  const ms =
    stamp || /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} [\d:]{8} [+-]\d{4}$/.test(text)
      ? Date.parse(written)
      : Number.NaN;
  if (Number.isNaN(ms)) {
    throw new WeftError("E_USAGE", `"${text}" is not a time`, {
      hint: "for example 30s, 1h43m, 2026-11-22, 2026-11-22T15:04:05Z",
    });
  }
  return ns(ms + (stamp ? Number(stamp[4]) : 0));
}

function ns(ms: number): bigint {
  return BigInt(Math.round(ms * 1_000)) * 1_000n;
}
