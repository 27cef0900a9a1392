// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { inNetns, netnsPath } from "#kernel/netns.ts";
import type { Answers, Operations } from "./lab-pod-main.ts";
import { checkout, labName, labPrefix } from "./lab-run.ts";
import type { LabPod } from "./lab-use.ts";

const program = join(import.meta.dirname, "lab-pod-main.ts");
const nodeArgs = ["--disable-warning=ExperimentalWarning", program];

/** A process in a pod (or on a node, or in the world) that makes traffic when told to. */
export class PodClient implements Disposable {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #last = 0;
  #errors = "";

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => (this.#errors += chunk));
    child.stdin?.on("error", () => {});
    createInterface({ input: child.stdout! }).on("line", (line) => this.#answer(line));
    child.once("close", (code) => {
      for (const { reject } of this.#waiting.values())
        reject(new Error(`the client ended (exit code ${code}): ${this.#errors}`));
      this.#waiting.clear();
    });
  }

  /** By `weft lab exec`: in the pod's cgroup, so that the socket hooks see it. */
  static async start(target: string): Promise<PodClient> {
    const argv = ["lab", "exec", target, "--", process.execPath, ...nodeArgs];
    const env = { ...process.env, WEFT_LAB: labName };
    return await PodClient.#ready(spawn(join(checkout, "weft"), argv, { env, stdio: "pipe" }));
  }

  /** In the pod's namespace and no cgroup of the lab: what it sends is translated packet by packet. */
  static async startOutsideCgroup(pod: Pick<LabPod, "name">): Promise<PodClient> {
    const netns = netnsPath(podNetns(pod.name));
    return await PodClient.#ready(inNetns(netns, () => spawn(process.execPath, nodeArgs, { stdio: "pipe" })));
  }

  static async #ready(child: ChildProcess): Promise<PodClient> {
    const client = new PodClient(child);
    await client.call("hello", {});
    return client;
  }

  /** Makes one operation and waits for its answer. @throws with the operation's error */
  call<K extends keyof Operations>(operation: K, options: Operations[K]): Promise<Answers[K]> {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: (value) => resolve(value as Answers[K]), reject });
      this.#child.stdin?.write(`${JSON.stringify({ id, operation, options })}\n`);
    });
  }

  #answer(line: string): void {
    const { id, error, value } = JSON.parse(line) as { id: number; error?: string; value?: unknown };
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(value);
    else waiting?.reject(new Error(error));
  }

  /** Its stdin ends, and so does it. */
  [Symbol.dispose](): void {
    this.#child.stdin?.end();
  }
}

/** Name of a pod's namespace in /run/netns. */
function podNetns(pod: string): string {
  const found = readdirSync("/run/netns").find((name) => name.startsWith(`${labPrefix}-p-${pod}-`));
  if (!found) throw new Error(`pod ${pod} has no network namespace`);
  return found;
}
