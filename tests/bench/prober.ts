// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { compileTool } from "./native.ts";

export interface ProberOptions {
  readonly client: { readonly netns: string; readonly cgroup?: string };
  readonly connect: string;
  readonly servers: readonly { readonly netns: string; readonly listen: string; readonly letter: string }[];
}

/** Who answers a datagram a millisecond, over time. */
export interface Prober extends AsyncDisposable {
  /**
   * Resolves when `letter` ("-": nobody) answers a datagram sent at or after `sinceNs` (`process.hrtime`), with when that one was sent.
   * @throws Error after 5 s
   */
  until(letter: string, sinceNs: bigint): Promise<bigint>;
}

const LIMIT_MS = 5_000;

export function startProber({ client, connect, servers }: ProberOptions): Prober {
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
        reject(new Error(`nothing answered by ${letter} within ${LIMIT_MS} ms, but by ${now.letter}`));
      }, LIMIT_MS);
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
