// SPDX-License-Identifier: Apache-2.0
import { closeSync } from "node:fs";
import { LITTLE_ENDIAN } from "#kernel/endian.ts";
import { KernelError } from "#kernel/errno.ts";
import { checked, errnoText, lastErrno, libc, libcInBackground } from "#kernel/libc.ts";
import {
  decodeAttributes,
  decodeMessages,
  encodeMessage,
  MESSAGE_HEADER,
  type Message,
  textOf,
} from "#kernel/netlink/codec.ts";
import { inNetns, type NetnsRef } from "#kernel/netns.ts";
import { orClose, SOL_SOCKET, setOption } from "#kernel/socket.ts";

const AF_NETLINK = 16;
const protocols = { route: 0, diag: 4 } as const;
const SOCK_RAW_CLOEXEC = 0x80003;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const SO_RCVBUF = 8;
const SO_RCVTIMEO = 20;

const NLM_F_REQUEST = 0x1;
const NLM_F_ACK = 0x4;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLM_F_DUMP = 0x300;
/** Flags for a request that makes something. */
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;

const NLMSG_NOOP = 1;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLMSGERR_ATTR_MSG = 1;

/** The kernel answers from inside sendto(2); what takes longer is broken. */
const ANSWER_TIMEOUT_S = 5;
/** The kernel's largest dump datagram is 32 KiB. */
const BUFFER_BYTES = 65536;
const DUMP_TRIES = 10;
const EINTR = 4;
const EIO = 5;
const EAGAIN = 11;

/** One thing asked of the kernel. */
export interface NetlinkRequest {
  /** `RTM_NEWLINK`, … */
  readonly type: number;
  readonly flags?: number;
  /** The family part and its attributes. */
  readonly payload: Uint8Array;
  /** Operation and object, for the error: `add route 10.0.0.0/8 dev x`. */
  readonly what: () => string;
}

interface Answer {
  readonly messages: Message[];
  /** The list changed while it was read. */
  readonly interrupted: boolean;
}

/**
 * A netlink socket. It belongs to the network namespace it was opened in, whichever the thread is in later.
 * Requests are synchronous (the kernel works inside sendto) and take microseconds.
 */
export class Netlink implements Disposable {
  readonly #fd: number;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #sequence = 0;
  #closed = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Sends one request and waits for its acknowledgement; returns the messages that came before it.
   * @throws KernelError E_NETLINK with errno and the kernel's own explanation
   */
  request(request: NetlinkRequest): Message[] {
    return this.#exchange(request, NLM_F_REQUEST | NLM_F_ACK | (request.flags ?? 0)).messages;
  }

  /**
   * As {@link Netlink.request}, with the sendto on a thread of libuv's pool: for what waits for an RCU grace period
   * (deleting a device takes 16 ms). The handle must not be used for anything else meanwhile.
   */
  async requestInBackground(request: NetlinkRequest): Promise<Message[]> {
    const datagram = this.#next(request, NLM_F_REQUEST | NLM_F_ACK | (request.flags ?? 0));
    const sent = await libcInBackground.send(this.#fd, datagram, datagram.length, 0);
    if (sent < 0) throw new KernelError("E_NETLINK", `${request.what()}: the request cannot be sent`, EIO);
    return this.#answer(request.what).messages;
  }

  /** Asks for a list. A list that changed while it was read is read again. @throws KernelError E_NETLINK */
  dump(request: NetlinkRequest): Message[] {
    for (let left = DUMP_TRIES; ; left--) {
      const { messages, interrupted } = this.#exchange(
        request,
        NLM_F_REQUEST | NLM_F_DUMP | (request.flags ?? 0),
      );
      if (!interrupted) return messages;
      if (left === 0) throw new KernelError("E_NETLINK", `${request.what()}: the list keeps changing`, 4);
    }
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#fd);
  }

  #exchange(request: NetlinkRequest, flags: number): Answer {
    const datagram = this.#next(request, flags);
    checked(libc.send(this.#fd, datagram, datagram.length, 0), request.what);
    return this.#answer(request.what);
  }

  #next({ type, payload }: NetlinkRequest, flags: number): Uint8Array {
    if (this.#closed) throw new Error("the netlink socket is closed");
    this.#sequence = (this.#sequence + 1) >>> 0;
    return encodeMessage(type, flags, this.#sequence, payload);
  }

  #answer(what: () => string): Answer {
    const messages: Message[] = [];
    let interrupted = false;
    for (;;) {
      for (const message of this.#receive(what)) {
        // What is left of a request that failed half way.
        if (message.sequence !== this.#sequence || message.type === NLMSG_NOOP) continue;
        if ((message.flags & NLM_F_DUMP_INTR) !== 0) interrupted = true;
        if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) {
          throwIfFailed(message, what);
          return { messages, interrupted };
        }
        messages.push(message);
      }
    }
  }

  #receive(what: () => string): Message[] {
    for (;;) {
      const length = libc.recv(this.#fd, this.#buffer, this.#buffer.length, 0);
      // A copy: the next datagram overwrites the buffer.
      if (length >= 0) return decodeMessages(this.#buffer.slice(0, length));
      const errno = lastErrno();
      if (errno === EINTR) continue;
      const reason = errno === EAGAIN ? `no answer within ${ANSWER_TIMEOUT_S} s` : errnoText(errno);
      throw new KernelError("E_NETLINK", `${what()}: ${reason}`, errno);
    }
  }
}

export interface NetlinkOptions {
  /** Absent: the thread's. */
  readonly netns?: NetnsRef;
  /** rtnetlink (the default), or sock_diag. */
  readonly protocol?: keyof typeof protocols;
}

/** Opens a netlink socket in a network namespace. Dispose of it. @throws WeftError E_NETNS */
export function openNetlink(options: NetlinkOptions = {}): Netlink {
  const protocol = protocols[options.protocol ?? "route"];
  const open = () => checked(libc.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, protocol), "open a netlink socket");
  const fd = options.netns === undefined ? open() : inNetns(options.netns, open);
  return orClose(fd, () => {
    setOption(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
    setOption(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
    setOption(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
    setOption(fd, SOL_SOCKET, SO_RCVBUF, 1 << 20);
    const timeout = new Uint8Array(16);
    new DataView(timeout.buffer).setBigInt64(0, BigInt(ANSWER_TIMEOUT_S), LITTLE_ENDIAN);
    checked(libc.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeout, timeout.length), "set the netlink timeout");
    return new Netlink(fd);
  });
}

/** NLMSG_ERROR and NLMSG_DONE begin with 0 or a negative errno; the kernel's explanation may follow as attributes. */
function throwIfFailed({ type, flags, payload }: Message, what: () => string): void {
  if (payload.length < 4) return;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const errno = -view.getInt32(0, LITTLE_ENDIAN);
  if (errno === 0) return;
  let explained = "";
  if ((flags & NLM_F_ACK_TLVS) !== 0) {
    let offset = 4;
    if (type === NLMSG_ERROR) {
      offset += (flags & NLM_F_CAPPED) !== 0 ? MESSAGE_HEADER : (view.getUint32(4, LITTLE_ENDIAN) + 3) & ~3;
    }
    const text = textOf(decodeAttributes(payload, offset), NLMSGERR_ATTR_MSG)?.replace(/\.$/, "");
    if (text !== undefined) explained = ` (${text})`;
  }
  throw new KernelError("E_NETLINK", `${what()}: ${errnoText(errno)}${explained}`, errno);
}
