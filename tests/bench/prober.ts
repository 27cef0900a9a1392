// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { compileTool } from "./native.ts";

export interface ProberOptions {
  readonly client: { readonly netns: string; readonly cgroup?: string };
  readonly connect: string;
  readonly servers: readonly { readonly netns: string; readonly listen: string; readonly letter: string }[];
  /** How long to wait for an answer. Default 5 s. */
  readonly limitMs?: number;
}

/** Who answers a datagram a millisecond, over time. */
export interface Prober extends AsyncDisposable {
  /**
   * Resolves when `letter` ("-": nobody) answers a datagram sent at or after `sinceNs` (`process.hrtime`), with when that one was sent.
   * @throws Error when that takes longer than the limit
   */
  until(letter: string, sinceNs: bigint): Promise<bigint>;
}

export function startProber({ client, connect, servers, limitMs = 5_000 }: ProberOptions): Prober {
  const args = ["--client", client.netns, "--connect", connect];
  if (client.cgroup !== undefined) args.push("--client-cgroup", client.cgroup);
  for (const { netns, listen, letter } of servers) args.push("--server", `${netns}=${listen}=${letter}`);
  const child: ChildProcess = spawn(compileTool("prober"), args, { stdio: ["pipe", "pipe", "inherit"] });
  let now = { ns: 0n, letter: "?" };
  const changed = new Set<() => void>();
  createInterface({ input: child.stdout! }).on("line", (line) => {
    const [ns = "0", letter = "?"] = line.split(" ");
    now = { ns: BigInt(ns), letter };
    for (const look of [...changed]) look();
  });
  return {
    until(letter, sinceNs) {
      const { promise, resolve, reject } = Promise.withResolvers<bigint>();
      const look = () => {
        if (now.letter !== letter) return;
        done();
        // It may have been so all the time.
        const isNew = now.ns > sinceNs;
        resolve(isNew ? now.ns : sinceNs);
      };
      const onExit = () => {
        done();
        reject(new Error("prober ended"));
      };
      const timer = setTimeout(() => {
        done();
        reject(new Error(`nothing answered by ${letter} within ${limitMs} ms, but by ${now.letter}`));
      }, limitMs);
      const done = () => {
        clearTimeout(timer);
        changed.delete(look);
        child.off("exit", onExit);
      };
      child.once("exit", onExit);
      changed.add(look);
      look();
      return promise;
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.stdin?.end();
      await once(child, "exit");
    },
  };
}
