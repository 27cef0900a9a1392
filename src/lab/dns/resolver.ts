// SPDX-License-Identifier: Apache-2.0

import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { closeSync } from "node:fs";
import { checked, libc } from "#kernel/libc.ts";
import { encodeSockaddr, openSocket, SOCK_DGRAM } from "#kernel/socket.ts";
import { WeftError } from "#lib/errors.ts";
import { type Address, isAddress, parseAddress } from "#model/ip.ts";
import { type DnsMessage, decodeMessage, encodeMessage, RecordType, ResponseCode } from "./wire.ts";

export interface ResolveOptions {
  /** Where the questions start from. */
  readonly netns: string;
  readonly nameserver: string;
  /** Appended in turn to names with fewer than five dots, as a pod's resolv.conf says. */
  readonly search: readonly string[];
  readonly timeoutMs?: number;
}

const TRIES = 2;
const NDOTS = 5;

/** The addresses of a name as a pod's resolver finds them: real questions over UDP from the pod's namespace. @throws WeftError E_DNS */
export async function resolveFrom(name: string, options: ResolveOptions): Promise<Address[]> {
  if (isAddress(name)) return [parseAddress(name)];
  const dots = name.split(".").length - 1;
  const searched = name.endsWith(".") ? [] : options.search.map((suffix) => `${name}.${suffix}`);
  const candidates = dots >= NDOTS ? [name, ...searched] : [...searched, name];
  for (const candidate of candidates) {
    const answer = await ask(candidate, options);
    const found = answer.answers.flatMap((record) =>
      record.type === "A" || record.type === "AAAA" ? [record.address] : [],
    );
    if (found.length > 0) return found;
  }
  throw new WeftError("E_DNS", `${name} has no address (server ${options.nameserver})`);
}

async function ask(name: string, options: ResolveOptions): Promise<DnsMessage> {
  const type = options.nameserver.includes(":") ? RecordType.AAAA : RecordType.A;
  let failure: unknown;
  for (let tries = 0; tries < TRIES; tries++) {
    try {
      return await askOnce(name, type, options);
    } catch (thrown) {
      failure = thrown;
    }
  }
  throw new WeftError("E_DNS", `no answer for ${name} from ${options.nameserver}`, { cause: failure });
}

/** Connected at once, inside the namespace: so service translation of the node sees it as any program's. */
function connectedSocket({ netns, nameserver }: ResolveOptions): number {
  const address = parseAddress(nameserver);
  const fd = openSocket(address, SOCK_DGRAM, 0, { netns });
  try {
    const name = encodeSockaddr(address, 53);
    checked(libc.connect(fd, name, name.length), `connect to ${nameserver}`);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function askOnce(name: string, type: number, options: ResolveOptions): Promise<DnsMessage> {
  const id = randomInt(65_536);
  const question = encodeMessage({
    id,
    response: false,
    recursionDesired: true,
    truncated: false,
    authoritative: false,
    code: ResponseCode.ok,
    question: { name, type },
    answers: [],
  });
  const fd = connectedSocket(options);
  return new Promise((resolve, reject) => {
    const socket = createSocket(options.nameserver.includes(":") ? "udp6" : "udp4");
    const timer = setTimeout(() => finish(new Error("timed out")), options.timeoutMs ?? 1000);
    const finish = (error: Error | undefined, message?: DnsMessage) => {
      clearTimeout(timer);
      socket.close();
      if (message) resolve(message);
      else reject(error);
    };
    socket.once("error", (error) => finish(error));
    socket.on("message", (bytes) => {
      try {
        const message = decodeMessage(bytes);
        if (message.response && message.id === id) finish(undefined, message);
      } catch (error) {
        finish(error as Error);
      }
    });
    socket.bind({ fd }, () => {
      checkedSend(fd, question, finish);
    });
  });
}

function checkedSend(fd: number, bytes: Uint8Array, finish: (error: Error) => void): void {
  try {
    checked(libc.send(fd, bytes, bytes.length, 0), "send a DNS question");
  } catch (error) {
    finish(error as Error);
  }
}
