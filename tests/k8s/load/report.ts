// SPDX-License-Identifier: Apache-2.0
/** What `weft-load run` prints: one flow's second. Times in milliseconds of the epoch. */
export interface FlowSecond {
  readonly flow: string;
  readonly at: number;
  /** Questions, connections; of streams bytes. */
  readonly sent: number;
  readonly received: number;
  readonly lost: number;
  /** From question to answer; of streams the longest time without a byte while some were due. */
  readonly slowestMs: number;
  /** Segments TCP sent again, and how many of them the other end had already. */
  readonly retransmitted?: number;
  readonly spurious?: number;
  readonly losses?: readonly Loss[];
  /** The longest time, over 50 ms, the client itself did not run in this second. */
  readonly stallMs?: number;
}

export interface Loss {
  readonly at: number;
  readonly number: number;
  readonly why: string;
}

/** A flow's sums over an interval. */
export interface FlowReport {
  readonly flow: string;
  readonly seconds: number;
  /** Seconds of the interval nothing was printed for: the client did not run. */
  readonly missing: number;
  readonly sent: number;
  readonly received: number;
  readonly lost: number;
  readonly slowestMs: number;
  /** By TCP, less what the other end had already; not counted where client or server stood still, since TCP's timers then fire for nothing. */
  readonly resent: number;
  /** In which seconds. */
  readonly resentAt: readonly number[];
  /** The longest time the client itself did not run. */
  readonly stallMs: number;
  readonly losses: readonly Loss[];
}

/** Lines of the client's output; what is no such line (a log's own) is left out. */
export function parseSeconds(text: string): FlowSecond[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith('{"flow"') && line.endsWith("}"))
    .map((line) => JSON.parse(line) as FlowSecond);
}

export interface Interval {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Sums of each flow over the whole seconds that touch the interval, by name. */
export function reportFlows(seconds: readonly FlowSecond[], { fromMs, toMs }: Interval): FlowReport[] {
  const from = Math.floor(fromMs / 1_000) * 1_000;
  const to = Math.floor(toMs / 1_000) * 1_000;
  const inside = seconds.filter(({ at }) => at >= from && at <= to);
  const late = lateAnswers(inside);
  return [...Map.groupBy(inside, ({ flow }) => flow)]
    .map(([flow, rows]) => sum(flow, rows, { expected: (to - from) / 1_000 + 1, late: late(flow) }))
    .sort((a, b) => (a.flow < b.flow ? -1 : 1));
}

/** TCP sends again after 200 ms at the soonest. */
const STALL_MS = 100;
const LATE_MS = 150;

/**
 * Seconds in which datagrams of the same client, which nobody sends again, were answered so late that TCP would have asked once more: it was the
 * other end that stood still.
 */
function lateAnswers(seconds: readonly FlowSecond[]): (flow: string) => ReadonlySet<number> {
  const client = (flow: string) => flow.split("/")[0]!;
  const datagrams = seconds.filter(({ flow }) => /\/(udp|icmp)$/.test(flow));
  const late = datagrams.filter(({ slowestMs, lost }) => slowestMs >= LATE_MS && lost === 0);
  const byClient = Map.groupBy(late, ({ flow }) => client(flow));
  return (flow) => new Set((byClient.get(client(flow)) ?? []).map(({ at }) => at));
}

interface About {
  /** Seconds there should be. */
  readonly expected: number;
  readonly late: ReadonlySet<number>;
}

function sum(flow: string, rows: readonly FlowSecond[], { expected, late }: About): FlowReport {
  const total = (of: (row: FlowSecond) => number) => rows.reduce((so, row) => so + of(row), 0);
  const stalls = new Set(rows.filter(({ stallMs = 0 }) => stallMs >= STALL_MS).map(({ at }) => at));
  const stalled = (at: number) =>
    [-2, -1, 0, 1].some((seconds) => stalls.has(at + seconds * 1_000) || late.has(at + seconds * 1_000));
  const again = sentAgain(rows, stalled);
  return {
    flow,
    seconds: rows.length,
    missing: expected - rows.length,
    sent: total((row) => row.sent),
    received: total((row) => row.received),
    lost: total((row) => row.lost),
    slowestMs: Math.max(0, ...rows.map((row) => row.slowestMs)),
    resent: again.reduce((so, { count }) => so + count, 0),
    resentAt: again.map(({ at }) => at),
    stallMs: Math.max(0, ...rows.map((row) => row.stallMs ?? 0)),
    losses: rows.flatMap((row) => row.losses ?? []),
  };
}

/**
 * Segments sent again, by second, less what the other end says it had already: which may come in the second after, when the segment went
 * late in its own.
 */
function sentAgain(rows: readonly FlowSecond[], stalled: (at: number) => boolean) {
  const found: { readonly at: number; count: number }[] = [];
  let before: (typeof found)[number] | undefined;
  for (const { at, retransmitted = 0, spurious = 0 } of rows.toSorted((a, b) => a.at - b.at)) {
    const late = Math.min(before?.count ?? 0, spurious);
    if (before) before.count -= late;
    before = { at, count: stalled(at) ? 0 : Math.max(0, retransmitted - (spurious - late)) };
    found.push(before);
  }
  return found.filter(({ count }) => count > 0);
}

/** Lines to read: `near/icmp: 2000 sent, 1 lost (12:00:01.250 no answer), slowest 3.1 ms`. */
export function reportText(reports: readonly FlowReport[]): string {
  return reports
    .map(({ flow, sent, lost, losses, slowestMs, resent, resentAt, missing, stallMs }) => {
      const some = losses
        .slice(0, 6)
        .map(({ at, why }) => `${new Date(at).toISOString().slice(11, 23)} ${why}`);
      const told = lost === 0 ? "0 lost" : `${lost} lost (${some.join(", ")}${lost > 6 ? ", …" : ""})`;
      const more = [
        stallMs >= STALL_MS ? `, itself stopped for ${stallMs} ms` : "",
        resent > 0 ? `, ${resent} segments sent again (${resentAt.map(clock).join(", ")})` : "",
        missing > 0 ? `, ${missing} s missing` : "",
      ];
      return `${flow}: ${sent} sent, ${told}, slowest ${slowestMs} ms${more.join("")}`;
    })
    .join("\n");
}

function clock(at: number): string {
  return new Date(at).toISOString().slice(11, 19);
}
