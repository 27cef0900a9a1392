// SPDX-License-Identifier: Apache-2.0
// Runs in a pod: reads operations as JSON lines on stdin, answers each on stdout.
import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { parseAddress } from "#model/ip.ts";
import { type IcmpAnswer, type PingOptions, ping, type SpoofOptions, spoof } from "./lab-pod-icmp.ts";
import { type Load, type LoadOptions, type LoadReport, startLoad } from "./lab-pod-load.ts";

export type HeldKind = "tcp" | "udp";

export interface Operations {
  hello: Record<string, never>;
  http: {
    readonly host: string;
    readonly port: number;
    readonly path?: string;
    /** An address of its own to ask from. */
    readonly from?: string;
    readonly timeoutMs?: number;
  };
  udp: {
    readonly address: string;
    readonly port: number;
    readonly bytes?: number;
    readonly timeoutMs?: number;
  };
  connect: { readonly address: string; readonly port: number; readonly timeoutMs: number };
  /** Connects a socket and keeps it; UDP: once it has heard an echo. */
  hold: { readonly kind: HeldKind; readonly address: string; readonly port: number };
  /** Waits for the held socket's error. */
  fateOf: { readonly kind: HeldKind; readonly timeoutMs: number };
  ping: PingOptions;
  spoof: SpoofOptions;
  resolve: { readonly name: string; readonly family: 4 | 6 };
  start: LoadOptions;
  look: { readonly load: number };
  stop: { readonly load: number };
}

export interface Answers {
  hello: Record<string, never>;
  /** `refused`, `timeout`: no connection. The pod is who answered, from the stand-in's header. */
  http: {
    readonly outcome: "answered" | "refused" | "timeout" | "reset";
    readonly pod: string;
    readonly body: string;
  };
  udp: { readonly outcome: "echoed" | "changed" | "refused" | "timeout"; readonly from: string };
  /** Of a TCP connection, closed at once; "": it was made. `ETIMEDOUT`: silence. */
  connect: { readonly error: string };
  hold: Record<string, never>;
  /** `closed`: its peer said good-bye. */
  fateOf: { readonly error: string };
  ping: IcmpAnswer;
  spoof: Record<string, never>;
  resolve: { readonly addresses: readonly string[]; readonly error?: string };
  start: { readonly load: number };
  look: { readonly idleMs: number };
  stop: LoadReport;
}

const loads = new Map<number, Load>();

const handlers: { [K in keyof Operations]: (options: Operations[K]) => Promise<Answers[K]> } = {
  hello: async () => ({}),
  http,
  udp,
  connect: tryConnect,
  hold: async ({ kind, address, port }) => {
    await (kind === "udp" ? holdUdp(address, port) : holdTcp(address, port));
    return {};
  },
  fateOf: async ({ kind, timeoutMs }) => {
    const late = new Promise<string>((resolve) => setTimeout(resolve, timeoutMs, "none").unref());
    return { error: await Promise.race([fates[kind], late]) };
  },
  ping,
  spoof: async (options) => {
    spoof(options);
    return {};
  },
  resolve: async ({ name, family }) => {
    try {
      return { addresses: (await lookup(name, { all: true, family })).map(({ address }) => address) };
    } catch (error) {
      return { addresses: [], error: (error as NodeJS.ErrnoException).code ?? String(error) };
    }
  },
  start: async (options) => {
    const load = loads.size + 1;
    loads.set(load, startLoad(options));
    return { load };
  },
  look: async ({ load }) => ({ idleMs: loads.get(load)!.idleMs() }),
  stop: async ({ load }) => await loads.get(load)!.stop(),
};

function http({
  host,
  port,
  path = "/hostname",
  from,
  timeoutMs = 1_500,
}: Operations["http"]): Promise<Answers["http"]> {
  const none = { pod: "", body: "" };
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const outgoing = request(
      { host, port, path, agent: false, signal, ...(from && { localAddress: from }) },
      (answer) => {
        let body = "";
        answer.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
        answer.once("end", () =>
          resolve({ outcome: "answered", pod: String(answer.headers["x-weft-pod"] ?? ""), body }),
        );
        answer.once("error", () => resolve({ outcome: "reset", ...none }));
      },
    );
    outgoing.once("error", (error: NodeJS.ErrnoException) => {
      const refused = error.code === "ECONNREFUSED";
      resolve({ outcome: signal.aborted ? "timeout" : refused ? "refused" : "reset", ...none });
    });
    outgoing.end();
  });
}

function tryConnect({ address, port, timeoutMs }: Operations["connect"]): Promise<Answers["connect"]> {
  const socket = connect({ host: address, port });
  return new Promise((resolve) => {
    const settle = (error: string) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ error });
    };
    const timer = setTimeout(settle, timeoutMs, "ETIMEDOUT");
    socket.once("connect", () => settle(""));
    socket.once("error", ({ code }: NodeJS.ErrnoException) => settle(code ?? "EIO"));
  });
}

/** Sends one datagram from a socket that is not connected, so that the answer shows where it came from. */
function udp({ address, port, bytes = 32, timeoutMs = 1_500 }: Operations["udp"]): Promise<Answers["udp"]> {
  const sent = Buffer.from(Uint8Array.from({ length: bytes }, (_, i) => (i * 7) & 0xff));
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  return new Promise((resolve) => {
    const settle = (outcome: Answers["udp"]["outcome"], from = "") => {
      clearTimeout(timer);
      socket.close();
      resolve({ outcome, from });
    };
    const timer = setTimeout(() => settle("timeout"), timeoutMs);
    socket.once("message", (message, from) =>
      settle(message.equals(sent) ? "echoed" : "changed", `${from.address} ${from.port}`),
    );
    socket.once("error", () => settle("refused"));
    socket.send(sent, port, parseAddress(address));
  });
}

const nothing = Promise.resolve("nothing is held");
const fates: Record<HeldKind, Promise<string>> = { tcp: nothing, udp: nothing };

async function holdUdp(address: string, port: number): Promise<void> {
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  socket.connect(port, parseAddress(address));
  await once(socket, "connect");
  const echoed = once(socket, "message");
  socket.send("hold");
  await echoed;
  fates.udp = once(socket, "error").then(([error]) => String((error as NodeJS.ErrnoException).code));
}

async function holdTcp(host: string, port: number): Promise<void> {
  const socket = connect({ host, port });
  await once(socket, "connect");
  fates.tcp = new Promise((resolve) => {
    socket.once("error", ({ code }: NodeJS.ErrnoException) => resolve(String(code)));
    socket.once("end", () => resolve("closed")).resume();
  });
}

createInterface({ input: process.stdin })
  .on("line", (line) => void handle(line))
  .once("close", () => process.exit(0));

async function handle(line: string): Promise<void> {
  const { id, operation, options } = JSON.parse(line) as {
    id: number;
    operation: keyof Operations;
    options: never;
  };
  try {
    const value = await handlers[operation](options);
    process.stdout.write(`${JSON.stringify({ id, value })}\n`);
  } catch (error) {
    process.stdout.write(
      `${JSON.stringify({ id, error: error instanceof Error ? error.message : String(error) })}\n`,
    );
  }
}
