// SPDX-License-Identifier: Apache-2.0

import { closeSync } from "node:fs";
import { LITTLE_ENDIAN } from "#kernel/endian.ts";
import { checked, libc } from "#kernel/libc.ts";
import { inNetns, type NetnsRef } from "#kernel/netns.ts";
import { type Address, addressBytes, addressFromBytes, family } from "#model/ip.ts";

export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOL_SOCKET = 1;
const SOCK_NONBLOCK = 0x800;
const SOCK_CLOEXEC = 0x80000;
const SO_REUSEADDR = 2;
const SO_ERROR = 4;
const SO_RCVBUF = 8;
const SO_MEMINFO = 55;
const SO_NETNS_COOKIE = 71;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;

export interface SocketOptions {
  /** Where the socket is made and stays, whoever uses it later; absent: this process's namespace. */
  readonly netns?: NetnsRef;
}

export interface ListenOptions extends SocketOptions {
  readonly backlog?: number;
  /** False (the default): a socket on `::` takes IPv4 too. */
  readonly v6Only?: boolean;
}

/**
 * A listening TCP socket in another network namespace: hand the fd to `net.Server.listen({ fd })`, which owns it
 * from then on. Port 0 lets the kernel choose; {@link localPort} tells.
 * @throws KernelError E_SYSCALL (`EADDRINUSE`, `EADDRNOTAVAIL`); WeftError E_NETNS
 */
export function listenTcp(address: Address, port: number, options: ListenOptions = {}): number {
  const name = `listen on ${endpointText(address, port)}`;
  const fd = bound(SOCK_STREAM, address, port, options);
  return orClose(fd, () => {
    checked(libc.listen(fd, options.backlog ?? 511), name);
    return fd;
  });
}

/** A bound UDP socket in another network namespace, for `dgram.Socket.bind({ fd })`. @throws as {@link listenTcp} */
export function bindUdp(address: Address, port: number, options: ListenOptions = {}): number {
  return bound(SOCK_DGRAM, address, port, options);
}

function bound(type: number, address: Address, port: number, options: ListenOptions): number {
  const fd = openSocket(address, type, 0, options);
  return orClose(fd, () => {
    if (type === SOCK_STREAM) setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (family(address) === 6) setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, options.v6Only === true ? 1 : 0);
    const name = encodeSockaddr(address, port);
    checked(libc.bind(fd, name, name.length), () => `bind ${endpointText(address, port)}`);
    return fd;
  });
}

/** A non-blocking, close-on-exec socket of the address's family, made inside the namespace of the options. */
export function openSocket(
  address: Address,
  type: number,
  protocol: number,
  options: SocketOptions = {},
): number {
  const domain = family(address) === 4 ? AF_INET : AF_INET6;
  const open = () =>
    checked(libc.socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol), "open a socket");
  return options.netns === undefined ? open() : inNetns(options.netns, open);
}

/** The port a bound socket has. */
export function localPort(fd: number): number {
  const name = new Uint8Array(28);
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, name.length, LITTLE_ENDIAN);
  checked(libc.getsockname(fd, name, length), "getsockname");
  return new DataView(name.buffer).getUint16(2);
}

export function setOption(fd: number, level: number, option: number, value: number): void {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, LITTLE_ENDIAN);
  checked(libc.setsockopt(fd, level, option, bytes, 4), () => `set socket option ${level}/${option}`);
}

/** A connection that waits at a listener; non-blocking, close-on-exec. @throws KernelError, EAGAIN when there is none */
export function acceptConnection(listener: number): number {
  return checked(libc.accept4(listener, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC), "accept a connection");
}

/** Takes the pending error off a socket (SO_ERROR): 0, or an errno. */
export function takeSocketError(fd: number): number {
  return socketOption(fd, SO_ERROR, 4, "read the socket's error").getInt32(0, LITTLE_ENDIAN);
}

/** Bytes a socket has room for, as the kernel counts them. */
export function receiveBuffer(fd: number): number {
  return socketOption(fd, SO_RCVBUF, 4, "read the size of the socket's buffer").getInt32(0, LITTLE_ENDIAN);
}

/** Bytes in a socket's buffer that nobody has read, as the kernel counts them: with what they are kept in (SK_MEMINFO_RMEM_ALLOC). */
export function unreadBytes(fd: number): number {
  return socketOption(fd, SO_MEMINFO, 36, "read what the socket's buffer holds").getUint32(0, LITTLE_ENDIAN);
}

function socketOption(fd: number, option: number, size: number, what: string): DataView {
  const value = new Uint8Array(size);
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, size, LITTLE_ENDIAN);
  checked(libc.getsockopt(fd, SOL_SOCKET, option, value, length), what);
  return new DataView(value.buffer);
}

/** The number by which BPF programs know this thread's network namespace. */
export function netnsCookie(options: SocketOptions = {}): bigint {
  const fd = openSocket("0.0.0.0" as Address, SOCK_DGRAM, 0, options);
  try {
    return socketOption(fd, SO_NETNS_COOKIE, 8, "read the namespace's cookie").getBigUint64(0, LITTLE_ENDIAN);
  } finally {
    closeSync(fd);
  }
}

/** `struct sockaddr_in` (16 bytes) or `sockaddr_in6` (28). */
export function encodeSockaddr(address: Address, port: number): Uint8Array {
  const v4 = family(address) === 4;
  const out = new Uint8Array(v4 ? 16 : 28);
  const view = new DataView(out.buffer);
  view.setUint16(0, v4 ? AF_INET : AF_INET6, LITTLE_ENDIAN);
  view.setUint16(2, port);
  const bytes = addressBytes(address);
  if (v4) out.set(bytes.subarray(12), 4);
  else out.set(bytes, 8);
  return out;
}

/** The inverse of {@link encodeSockaddr}; undefined for another family. */
export function decodeSockaddr(bytes: Uint8Array): { address: Address; port: number } | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 16) return undefined;
  const domain = view.getUint16(0, LITTLE_ENDIAN);
  if (domain === AF_INET) {
    const mapped = new Uint8Array(16).fill(0xff, 10, 12);
    mapped.set(bytes.subarray(4, 8), 12);
    return { address: addressFromBytes(mapped), port: view.getUint16(2) };
  }
  if (domain !== AF_INET6 || bytes.length < 28) return undefined;
  return { address: addressFromBytes(bytes, 8), port: view.getUint16(2) };
}

/** `10.0.0.1:80`, `[fd00::1]:80`. */
export function endpointText(address: Address, port: number): string {
  return family(address) === 4 ? `${address}:${port}` : `[${address}]:${port}`;
}

/** Runs `fn`; when it throws, closes the fd on the way out. */
export function orClose<T>(fd: number, fn: () => T): T {
  try {
    return fn();
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}
