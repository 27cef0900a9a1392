// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { type Exec, startExec } from "#k8s/exec.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import { askCommand, containerName } from "./manifests.ts";
import type { Attempt, Question, Reply } from "./protocol.ts";

/** Makes attempts from inside one pod. Disposing ends its session. */
export interface Prober extends AsyncDisposable {
  ask(attempt: Attempt, timeoutMs: number): Promise<Reply>;
}

/** The session's own way there and back, added to an attempt's time. */
const graceMs = 15_000;

/** Opens a session in a pod of the test: one command for all attempts. @throws KubeError */
export async function startProber(
  client: KubeClient,
  at: { readonly namespace: string; readonly pod: string },
  signal: AbortSignal,
): Promise<Prober> {
  const waiting = new Map<number, (reply: Reply) => void>();
  let rest = "";
  let errors = "";
  let nextId = 1;
  const exec: Exec = await startExec(
    client,
    { ...at, container: containerName },
    {
      command: askCommand,
      stdin: true,
      signal,
      stdout(chunk) {
        const lines = (rest + chunk.toString()).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) {
          const reply = JSON.parse(line) as Reply;
          waiting.get(reply.id)?.(reply);
        }
      },
      stderr(chunk) {
        errors = (errors + chunk.toString()).slice(-2000);
      },
    },
  );
  const lost = exec.ended.then(
    (code): never => {
      throw new WeftError(
        "E_PROBE",
        `the session in pod ${at.pod} ended with exit code ${code}: ${errors.trim()}`,
      );
    },
    (cause: unknown): never => {
      throw new WeftError("E_PROBE", `the session in pod ${at.pod} broke: ${errorText(cause)}`, { cause });
    },
  );
  lost.catch(() => {});
  return {
    async ask(attempt, timeoutMs) {
      const id = nextId++;
      const { promise, resolve, reject } = Promise.withResolvers<Reply>();
      waiting.set(id, resolve);
      const timer = setTimeout(
        () => reject(new WeftError("E_PROBE", `the session in pod ${at.pod} does not answer`)),
        timeoutMs + graceMs,
      );
      const question: Question = { id, attempt, timeoutMs };
      try {
        exec.write(`${JSON.stringify(question)}\n`);
        return await Promise.race([promise, lost]);
      } finally {
        clearTimeout(timer);
        waiting.delete(id);
      }
    },
    async [Symbol.asyncDispose]() {
      exec.close();
    },
  };
}
