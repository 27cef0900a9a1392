// SPDX-License-Identifier: Apache-2.0
import type { Timestamp } from "@bufbuild/protobuf/wkt";

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

const two = (value: number) => String(value).padStart(2, "0");

interface Moment {
  readonly date: Date;
  readonly nanos: number;
}

const iso = ({ date }: Moment, length: number) => date.toISOString().slice(0, length);
const fraction = ({ nanos }: Moment, digits: number) => String(nanos).padStart(9, "0").slice(0, digits);

/** Ways to write a time, by the names Hubble has for them; all in UTC. */
export const timeFormats: Readonly<Record<string, (moment: Moment) => string>> = {
  StampMilli: (m) =>
    `${months[m.date.getUTCMonth()]} ${String(m.date.getUTCDate()).padStart(2)} ${iso(m, 19).slice(11)}.${fraction(m, 3)}`,
  YearMonthDay: (m) => iso(m, 10),
  YearMonthDayHour: (m) => `${iso(m, 13)}Z`,
  YearMonthDayHourMinute: (m) => `${iso(m, 16)}Z`,
  RFC3339: (m) => `${iso(m, 19)}Z`,
  RFC3339Milli: (m) => `${iso(m, 19)}.${fraction(m, 3)}Z`,
  RFC3339Micro: (m) => `${iso(m, 19)}.${fraction(m, 6)}Z`,
  RFC3339Nano: (m) => {
    const digits = fraction(m, 9).replace(/0+$/, "");
    return `${iso(m, 19)}${digits === "" ? "" : `.${digits}`}Z`;
  },
  RFC1123Z: ({ date }) =>
    `${days[date.getUTCDay()]}, ${two(date.getUTCDate())} ${months[date.getUTCMonth()]} ${date.getUTCFullYear()} ${date.toISOString().slice(11, 19)} +0000`,
};

/** The time in the format of that name; `N/A` for none. */
export function formatTime(format: string, time: Timestamp | undefined): string {
  if (!time) return "N/A";
  const date = new Date(Number(time.seconds) * 1_000);
  return (timeFormats[format] ?? timeFormats["StampMilli"]!)({ date, nanos: time.nanos });
}
