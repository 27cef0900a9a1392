// SPDX-License-Identifier: Apache-2.0

import { closeSync } from "node:fs";
import { setTimeout as delay, setImmediate as nextTurn } from "node:timers/promises";
import { LITTLE_ENDIAN } from "#kernel/endian.ts";
import { errnoName, KernelError } from "#kernel/errno.ts";
import { decodeEchoReply, encodeEcho } from "#kernel/icmp.ts";
import { lastErrno, libc } from "#kernel/libc.ts";
import type { NetnsRef } from "#kernel/netns.ts";
import {
  encodeSockaddr,
  openSocket,
  orClose,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_STREAM,
  setOption,
  takeSocketError,
} from "#kernel/socket.ts";
import { type Address, family } from "#model/ip.ts";

/** One real attempt to reach something. */
export interface Probe {
  readonly protocol: "TCP" | "UDP" | "SCTP" | "ICMP";
  readonly to: Address;
  /** 0 for ICMP. */
  readonly port: number;
  /** Where the attempt starts; absent: this process's namespace. */
  readonly netns?: NetnsRef;
  /** Where it comes from; absent: as the routes say. */
  readonly source?: Address;
  /** What a UDP probe sends; default 4 bytes `weft`. */
  readonly payload?: Uint8Array;
}

/**
 * `connected`: TCP or SCTP handshake done, UDP answer or ICMP echo reply received. `refused`: a reset or port unreachable came
 * back, so packets pass but nobody listens. `timeout`: silence. `failed`: another error, named in `errno`
 * (`EHOSTUNREACH`, `EPERM`, …; `E_NETNS` when the namespace is gone).
 */
export interface ProbeResult {
  readonly outcome: "connected" | "refused" | "timeout" | "failed";
  readonly errno?: string;
  /** From the first packet to the outcome. */
  readonly ms: number;
}

export interface ProbeOptions {
  /** Per attempt; default 1000. */
  readonly timeoutMs?: number;
  /** Sockets open at a time; default 256. */
  readonly concurrency?: number;
  readonly signal?: AbortSignal;
}

interface Attempt {
  readonly index: number;
  readonly probe: Probe;
  readonly fd: number;
  readonly startMs: number;
}

type Settle = (index: number, result: ProbeResult) => void;

const POLLIN = 1;
const POLLOUT = 4;
const IPPROTO_ICMP = 1;
const IPPROTO_IPV6 = 41;
const IPPROTO_ICMPV6 = 58;
/** linux/in6.h */
const IPV6_FREEBIND = 78;
const IPPROTO_SCTP = 132;
const EAGAIN = 11;
const EINPROGRESS = 115;
const POLL_MIN_MS = 1;
const POLL_MAX_MS = 8;
/** A handshake on one machine happens inside connect(2): many of them are spread over turns of the event loop. */
const TURN_MS = 1;

/**
 * Makes every attempt, many at a time, and returns their results in the order given. The thread is never blocked:
 * the sockets are looked at with poll(2) from a timer, 1 to 8 ms apart. A connection made is closed at once.
 * @throws the signal's reason when aborted; a probe's own failure is a result, not a rejection
 */
export async function runProbes(
  probes: readonly Probe[],
  options: ProbeOptions = {},
): Promise<ProbeResult[]> {
  const timeoutMs = options.timeoutMs ?? 1000;
  const concurrency = options.concurrency ?? 256;
  const results = new Array<ProbeResult>(probes.length);
  const settle: Settle = (index, result) => {
    results[index] = result;
  };
  let open: Attempt[] = [];
  let next = 0;
  let pauseMs = POLL_MIN_MS;
  try {
    while (next < probes.length || open.length > 0) {
      options.signal?.throwIfAborted();
      const turnEndMs = performance.now() + TURN_MS;
      for (; next < probes.length && open.length < concurrency; next++) {
        if (performance.now() > turnEndMs) break;
        const attempt = start(next, probes[next]!, settle);
        if (attempt !== undefined) open.push(attempt);
      }
      const before = open.length;
      if (before > 0) open = look(open, timeoutMs, settle);
      pauseMs = open.length < before ? POLL_MIN_MS : Math.min(POLL_MAX_MS, pauseMs + 1);
      if (next < probes.length && open.length < concurrency) await nextTurn();
      else if (open.length > 0) await delay(pauseMs, undefined, options.signal && { signal: options.signal });
    }
  } finally {
    for (const attempt of open) closeSync(attempt.fd);
  }
  return results;
}

/** One attempt, as {@link runProbes}. */
export async function runProbe(probe: Probe, options: ProbeOptions = {}): Promise<ProbeResult> {
  return (await runProbes([probe], options))[0]!;
}

function start(index: number, probe: Probe, settle: Settle): Attempt | undefined {
  const startMs = performance.now();
  try {
    const fd = openFor(probe);
    return orClose(fd, () => {
      if (probe.source !== undefined) bindTo(fd, probe.source);
      const name = encodeSockaddr(probe.to, probe.port);
      call(libc.connect(fd, name, name.length), EINPROGRESS);
      const first = firstPacket(probe, index);
      if (first !== undefined) call(libc.send(fd, first, first.length, 0));
      return { index, probe, fd, startMs };
    });
  } catch (error) {
    const errno = error instanceof KernelError ? error.errno : hasCode(error) ? error.code : "EIO";
    settle(index, failure(errno, startMs));
    return undefined;
  }
}

function openFor({ protocol, to, netns }: Probe): number {
  const where = netns === undefined ? {} : { netns };
  if (protocol === "TCP") return openSocket(to, SOCK_STREAM, 0, where);
  if (protocol === "SCTP") return openSocket(to, SOCK_STREAM, IPPROTO_SCTP, where);
  if (protocol === "UDP") return openSocket(to, SOCK_DGRAM, 0, where);
  return openSocket(to, SOCK_RAW, family(to) === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, where);
}

/** A route alone may make the address the namespace's own, which IPv6 does not see by itself. */
function bindTo(fd: number, source: Address): void {
  if (family(source) === 6) setOption(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1);
  const name = encodeSockaddr(source, 0);
  call(libc.bind(fd, name, name.length));
}

/** Has a handshake, which says by itself whether somebody is there. */
function isStream({ protocol }: Probe): boolean {
  return protocol === "TCP" || protocol === "SCTP";
}

function firstPacket(probe: Probe, index: number): Uint8Array | undefined {
  if (isStream(probe)) return undefined;
  if (probe.protocol === "ICMP") return encodeEcho(family(probe.to), echoId(index), 1);
  return probe.payload ?? new TextEncoder().encode("weft");
}

/** Raw sockets see every echo reply of their namespace: the id tells ours. */
function echoId(index: number): number {
  return (process.pid * 31 + index) & 0xffff;
}

/** Settles what is decided and returns the rest. */
function look(open: readonly Attempt[], timeoutMs: number, settle: Settle): Attempt[] {
  const pollfds = new DataView(new ArrayBuffer(open.length * 8));
  for (const [i, attempt] of open.entries()) {
    pollfds.setInt32(i * 8, attempt.fd, LITTLE_ENDIAN);
    pollfds.setInt16(i * 8 + 4, isStream(attempt.probe) ? POLLOUT : POLLIN, LITTLE_ENDIAN);
  }
  const ready = libc.poll(new Uint8Array(pollfds.buffer), open.length, 0);
  const now = performance.now();
  return open.filter((attempt, i) => {
    const happened = ready > 0 && pollfds.getInt16(i * 8 + 6, LITTLE_ENDIAN) !== 0;
    let result = happened ? outcome(attempt) : undefined;
    if (result === undefined && now - attempt.startMs >= timeoutMs) {
      result = { outcome: "timeout", ms: now - attempt.startMs };
    }
    if (result === undefined) return true;
    closeSync(attempt.fd);
    settle(attempt.index, result);
    return false;
  });
}

/** What a socket with something to tell has to tell; undefined: not decided yet. */
function outcome({ probe, fd, startMs, index }: Attempt): ProbeResult | undefined {
  const connected: ProbeResult = { outcome: "connected", ms: performance.now() - startMs };
  if (isStream(probe)) {
    const errno = takeSocketError(fd);
    return errno === 0 ? connected : failure(errnoName(errno), startMs);
  }
  const buffer = new Uint8Array(2048);
  for (let packets = 0; packets < 64; packets++) {
    const length = libc.recv(fd, buffer, buffer.length, 0);
    if (length < 0) {
      const errno = lastErrno();
      return errno === EAGAIN ? undefined : failure(errnoName(errno), startMs);
    }
    if (probe.protocol === "UDP") return connected;
    if (decodeEchoReply(family(probe.to), buffer.subarray(0, length))?.id === echoId(index)) return connected;
  }
  return undefined;
}

function failure(errno: string, startMs: number): ProbeResult {
  const ms = performance.now() - startMs;
  if (errno === "ECONNREFUSED") return { outcome: "refused", errno, ms };
  if (errno === "ETIMEDOUT") return { outcome: "timeout", errno, ms };
  return { outcome: "failed", errno, ms };
}

function call(result: number, ignored = 0): void {
  if (result >= 0) return;
  const errno = lastErrno();
  if (errno !== ignored) throw new KernelError("E_SYSCALL", errnoName(errno), errno);
}

function hasCode(error: unknown): error is Error & { code: string } {
  return error instanceof Error && "code" in error && typeof error.code === "string";
}
