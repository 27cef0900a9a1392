// SPDX-License-Identifier: Apache-2.0
// Runs in the test's pods.
import { createHash, randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { request } from "node:https";
import { connect } from "node:net";
import { errorText } from "#lib/errors.ts";
import type { Attempt, Outcome } from "./protocol.ts";

export interface Result {
  readonly outcome: Outcome;
  readonly text: string;
}

/** An ICMP echo, made by who can open such sockets. */
export type Ping = (host: string, timeoutMs: number) => Promise<Result>;

/** Makes an attempt and says what came of it; never throws. */
export async function makeAttempt(attempt: Attempt, timeoutMs: number, ping: Ping): Promise<Result> {
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    switch (attempt.kind) {
      case "tcp":
        return await overTcp(attempt, Buffer.from("who\n"), signal);
      case "bulk":
        return await overTcp(attempt, randomBytes(attempt.bytes), signal);
      case "udp":
        return await overUdp(attempt, Buffer.from("who\n"), signal);
      case "datagram":
        return await overUdp(attempt, randomBytes(attempt.bytes), signal);
      case "icmp":
        return await ping(attempt.host, timeoutMs);
      case "name": {
        const found = await lookup(attempt.name, { all: true });
        return { outcome: "answer", text: found.map(({ address }) => address).join(" ") };
      }
      case "https":
        return await overHttps(attempt, signal);
    }
  } catch (thrown) {
    return outcomeOf(thrown, signal);
  }
}

function outcomeOf(thrown: unknown, signal: AbortSignal): Result {
  if (signal.aborted) return { outcome: "silence", text: "" };
  const { code } = thrown as NodeJS.ErrnoException;
  if (code === "ECONNREFUSED" || code === "ECONNRESET") return { outcome: "refused", text: code };
  if (code === "ETIMEDOUT") return { outcome: "silence", text: code };
  return { outcome: "failed", text: errorText(thrown) };
}

interface Place {
  readonly host: string;
  readonly port: number;
}

const sha = (data: Buffer) => createHash("sha256").update(data).digest("hex");

/** A question is a line, which the server answers with who it is; anything else comes back as it was. */
function judge(sent: Buffer, received: Buffer): Result {
  if (sent.length <= 4) return { outcome: "answer", text: received.toString().trim() };
  if (sha(sent) === sha(received)) return { outcome: "answer", text: `${sent.length} bytes` };
  return { outcome: "failed", text: `${received.length} of ${sent.length} bytes came back, or others` };
}

function overTcp({ host, port }: Place, data: Buffer, signal: AbortSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const received: Buffer[] = [];
    let size = 0;
    signal.addEventListener("abort", () => {
      socket.destroy();
      if (size > 0) resolve({ outcome: "failed", text: `${size} of ${data.length} bytes came back in time` });
      else reject(signal.reason);
    });
    socket.once("error", reject);
    socket.on("data", (chunk: Buffer) => {
      received.push(chunk);
      size += chunk.length;
      if (size >= data.length) socket.end();
    });
    socket.once("close", () => resolve(judge(data, Buffer.concat(received))));
    socket.write(data);
  });
}

function overUdp({ host, port }: Place, data: Buffer, signal: AbortSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    const done = (then: () => void) => {
      signal.removeEventListener("abort", silence);
      socket.close();
      then();
    };
    const silence = () => done(() => reject(signal.reason));
    signal.addEventListener("abort", silence);
    socket.once("error", (error) => done(() => reject(error)));
    socket.once("message", (message) => done(() => resolve(judge(data, message))));
    socket.connect(port, host, () => socket.send(data));
  });
}

function overHttps({ host, port }: Place, signal: AbortSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    // Only that it is reached is asked; nothing is told to it.
    const call = request({ host, port, path: "/version", rejectUnauthorized: false, signal, agent: false });
    call.once("error", reject);
    call.once("response", (answer) => {
      answer.resume();
      resolve({ outcome: "answer", text: `HTTP ${answer.statusCode}` });
    });
    call.end();
  });
}
