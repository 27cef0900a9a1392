// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { closeSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { decodeEchoReply } from "#kernel/icmp.ts";
import { echo, icmpSocket, receive, sendEcho } from "./lab-pod-icmp.ts";

/** Traffic that runs until it is stopped. */
export type LoadOptions =
  /** An echo request every `everyMs`. */
  | { readonly kind: "ping"; readonly address: string; readonly everyMs: number }
  /** One connection to an echo server: random bytes there and back, with a checksum over each way. */
  | { readonly kind: "transfer"; readonly address: string; readonly port: number }
  /** A new connection to an echo server every `everyMs`: a line there and back. */
  | {
      readonly kind: "connections";
      readonly address: string;
      readonly port: number;
      readonly everyMs: number;
    };

export interface LoadReport {
  /** Pings, connections, or bytes. */
  readonly sent: number;
  readonly received: number;
  /** What did not come back, each by number or error. */
  readonly lost: readonly string[];
  /** From a ping to its reply, from connect to the answer; of a transfer the longest time without a byte. */
  readonly slowestMs: number;
  /** Losses the namespace's TCP saw meanwhile. */
  readonly tcpLosses: Readonly<Record<string, number>>;
}

export interface Load {
  /** Since something last came back. */
  idleMs(): number;
  stop(): Promise<LoadReport>;
}

const DRAIN_MS = 3_000;

export function startLoad(options: LoadOptions): Load {
  const before = tcpCounters();
  let lastMs = performance.now();
  const came = () => {
    lastMs = performance.now();
  };
  const load =
    options.kind === "ping"
      ? pings(options, came)
      : options.kind === "transfer"
        ? transfer(options, came)
        : connections(options, came);
  return {
    idleMs: () => performance.now() - lastMs,
    stop: async () => ({ ...(await load()), tcpLosses: increases(before) }),
  };
}

type Report = Omit<LoadReport, "tcpLosses">;
type Of<K> = Extract<LoadOptions, { kind: K }>;

/** Tail loss probes are left out: on a busy machine they go out, and count as having helped, though nothing was lost. */
const lossCounters = ["TCPTimeouts", "TCPFastRetrans", "TCPSlowStartRetrans"];

/** From the namespace's TcpExt line in /proc/net/netstat. */
function tcpCounters(): Map<string, number> {
  const [names = "", values = ""] = readFileSync("/proc/net/netstat", "utf8")
    .split("\n")
    .filter((line) => line.startsWith("TcpExt:"));
  const columns = names.split(" ");
  return new Map(lossCounters.map((name) => [name, Number(values.split(" ")[columns.indexOf(name)])]));
}

function increases(before: ReadonlyMap<string, number>): Record<string, number> {
  const now = [...tcpCounters()].map(([name, value]) => [name, value - before.get(name)!] as const);
  return Object.fromEntries(now.filter(([, more]) => more > 0));
}

function pings({ address, everyMs }: Of<"ping">, came: () => void): () => Promise<Report> {
  const { fd, family } = icmpSocket(address);
  const id = (process.pid * 3 + fd) & 0xffff;
  const open = new Map<number, number>();
  let [sent, received, slowestMs] = [0, 0, 0];
  const startMs = performance.now();
  const read = () => {
    for (const packet of receive(fd)) {
      const reply = decodeEchoReply(family, packet);
      const sentMs = reply?.id === id ? open.get(reply.sequence) : undefined;
      if (sentMs === undefined) continue;
      open.delete(reply!.sequence);
      received++;
      came();
      slowestMs = Math.max(slowestMs, performance.now() - sentMs);
    }
  };
  const timer = setInterval(
    () => {
      read();
      for (; sent < (performance.now() - startMs) / everyMs; sent++) {
        open.set(sent & 0xffff, performance.now());
        sendEcho(fd, address, echo(family, id, sent & 0xffff));
      }
    },
    Math.min(everyMs, 10),
  );
  return async () => {
    clearInterval(timer);
    await eventually(() => {
      read();
      return open.size === 0;
    });
    closeSync(fd);
    return { sent, received, slowestMs, lost: [...open.keys()].map(String) };
  };
}

function transfer({ address, port }: Of<"transfer">, came: () => void): () => Promise<Report> {
  const there = createHash("sha256");
  const back = createHash("sha256");
  let [sent, received, slowestMs, lastMs, state] = [0, 0, 0, performance.now(), 1];
  let stopped = false;
  const lost: string[] = [];
  const socket = connect({ host: address, port, noDelay: true });
  socket.on("error", (error) => lost.push(error.message));
  socket.on("close", () => {
    if (!stopped) lost.push("the connection was closed");
  });
  const write = () => {
    if (stopped || socket.destroyed) return;
    const chunk = new Uint32Array(4096);
    for (let i = 0; i < chunk.length; i++)
      chunk[i] = state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const bytes = Buffer.from(chunk.buffer);
    there.update(bytes);
    sent += bytes.length;
    socket.write(bytes);
  };
  // 100 times a second 16 KiB: steady, and a loss stops it visibly.
  const timer = setInterval(() => socket.writableLength < 1 << 20 && write(), 10);
  socket.on("data", (chunk: Buffer) => {
    slowestMs = Math.max(slowestMs, performance.now() - lastMs);
    lastMs = performance.now();
    came();
    back.update(chunk);
    received += chunk.length;
  });
  return async () => {
    clearInterval(timer);
    await eventually(() => received >= sent || socket.destroyed);
    stopped = true;
    socket.destroy();
    if (there.digest("hex") !== back.digest("hex")) lost.push("the bytes that came back are others");
    return { sent, received, slowestMs, lost };
  };
}

function connections({ address, port, everyMs }: Of<"connections">, came: () => void): () => Promise<Report> {
  const lost: string[] = [];
  let [sent, received, slowestMs, open] = [0, 0, 0, 0];
  const startMs = performance.now();
  const timer = setInterval(
    () => {
      for (; sent < (performance.now() - startMs) / everyMs; sent++) {
        const number = sent;
        const fromMs = performance.now();
        open++;
        const socket = connect({ host: address, port, timeout: DRAIN_MS });
        socket.once("connect", () => socket.write(`connection ${number}\n`));
        socket.once("timeout", () => socket.destroy(new Error("timed out")));
        socket.once("error", (error) => lost.push(`${number}: ${error.message}`));
        socket.once("data", () => {
          received++;
          came();
          slowestMs = Math.max(slowestMs, performance.now() - fromMs);
          socket.end();
        });
        socket.once("close", () => open--);
      }
    },
    Math.min(everyMs, 10),
  );
  return async () => {
    clearInterval(timer);
    await eventually(() => open === 0, DRAIN_MS + 1_000);
    return { sent, received, slowestMs, lost };
  };
}

async function eventually(done: () => boolean, timeoutMs = DRAIN_MS): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!done() && performance.now() < endMs) await new Promise((resolve) => setTimeout(resolve, 5));
}
