// SPDX-License-Identifier: Apache-2.0
import type { KubeClient } from "#k8s/client.ts";
import { execText } from "#k8s/exec.ts";
import { WeftError } from "#lib/errors.ts";
import { components, isRunning } from "./components.ts";
import type { PodObject } from "./objects.ts";

/** One line of `weft raw`: what the agent's local API answers at a path. */
export interface RawAnswer {
  readonly path: string;
  readonly body?: unknown;
  readonly error?: { readonly code: string; readonly message: string; readonly hint?: string };
}

/** The path at which `weft raw` answers for the agent's observer: how many flows. */
export const observerPath = "/observer";

/** What the agent of a pod answers at paths of its local API, in their order; asked by one command in its container. */
export function askAgent(
  client: KubeClient,
  pod: PodObject,
  paths: readonly string[],
  signal: AbortSignal,
): Promise<RawAnswer[]> {
  return raw(client, pod, { words: paths, signal });
}

/** What the agent of a pod answers when it is asked to do something. */
export async function tellAgent(
  client: KubeClient,
  pod: PodObject,
  { path, body }: { readonly path: string; readonly body: unknown },
  signal: AbortSignal,
): Promise<RawAnswer | undefined> {
  const input = `${JSON.stringify(body)}\n`;
  return (await raw(client, pod, { words: ["--post", path], input, signal }))[0];
}

async function raw(
  client: KubeClient,
  pod: PodObject,
  asked: { readonly words: readonly string[]; readonly input?: string; readonly signal: AbortSignal },
): Promise<RawAnswer[]> {
  const { words, input, signal } = asked;
  const { name, namespace } = pod.metadata;
  if (!isRunning(pod)) throw new WeftError("E_AGENT", `${name}: ${podProblem(pod) ?? "is not running"}`);
  const { code, stdout, stderr } = await execText(
    client,
    { namespace, pod: name, container: components.agent.container },
    { command: ["weft", "raw", ...words], signal, ...(input !== undefined && { input }) },
  );
  if (code !== 0)
    throw new WeftError("E_AGENT", `${name}: ${stderr.trim().split("\n")[0] || `exit code ${code}`}`);
  try {
    return stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as RawAnswer);
  } catch (cause) {
    throw new WeftError("E_AGENT", `${name}: what answers is no agent`, { cause });
  }
}

/** Why a pod's containers do not run or are not ready, in words of their states; undefined: nothing is wrong. */
export function podProblem(pod: PodObject): string | undefined {
  const { status, metadata } = pod;
  if (metadata.deletionTimestamp) return "is being deleted";
  if (!pod.spec.nodeName) {
    const scheduled = status?.conditions?.find(({ type }) => type === "PodScheduled");
    return `is not scheduled${scheduled?.message ? `: ${scheduled.message}` : ""}`;
  }
  for (const container of [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])]) {
    const { state, lastState } = container;
    const waiting = state?.waiting;
    if (waiting?.reason && waiting.reason !== "PodInitializing") {
      const last = lastState?.terminated;
      const why = last ? ` (last exit code ${last.exitCode}${tail(last.message ?? last.reason)})` : "";
      return `container ${container.name}: ${waiting.reason}${tail(waiting.message)}${why}`;
    }
    const ended = state?.terminated;
    if (ended && ended.exitCode !== 0)
      return `container ${container.name} ended with exit code ${ended.exitCode}${tail(ended.message ?? ended.reason)}`;
  }
  if (status?.phase === "Failed" || status?.phase === "Pending")
    return `is ${status.phase}${tail(status.message ?? status.reason)}`;
  const unready = status?.containerStatuses?.find((container) => !container.ready);
  return unready ? `container ${unready.name} is not ready` : undefined;
}

/** The end of a message says most. Where that is a line of our own programs' log, what it says of an error. */
function tail(message: string | undefined): string {
  const line = message?.trim().split("\n").at(-1);
  return line ? `: ${(saidInLog(line) ?? line).slice(0, 300)}` : "";
}

function saidInLog(line: string): string | undefined {
  try {
    const { error, hint } = JSON.parse(line) as { readonly error?: unknown; readonly hint?: unknown };
    if (typeof error !== "string") return undefined;
    return typeof hint === "string" ? `${error} (${hint})` : error;
  } catch {
    return undefined;
  }
}
