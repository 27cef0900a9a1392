// SPDX-License-Identifier: Apache-2.0

import { setTimeout as delay } from "node:timers/promises";
import type { KubeClient } from "#k8s/client.ts";
import { resources } from "#k8s/resource.ts";
import { WeftError } from "#lib/errors.ts";
import type { NodeProbe, NodeProbeResult } from "./kubelet/server.ts";
import { probeFrom } from "./kubelet-client.ts";
import type { LabPlan } from "./layout.ts";
import type { EndpointSlice, Pod, Service } from "./objects.ts";
import { type ClusterView, matrixAttempts } from "./probe-matrix.ts";
import { type Question, questionAttempts } from "./probe-questions.ts";
import { labClient, runningLab } from "./status.ts";

export type Protocol = "TCP" | "UDP" | "ICMP";

export interface ProbeEnd {
  readonly namespace: string;
  /** Empty for an address outside, and for a Service (which pod answers is not known). */
  readonly pod: string;
}

/** One answered question, in the form `weft lab probe -o json` prints. */
export interface ProbeRow {
  readonly from: ProbeEnd & { readonly workload: string };
  readonly to: ProbeEnd & {
    readonly service: string;
    readonly ip: string;
    readonly port: number;
    readonly protocol: Protocol;
  };
  readonly via: "service" | "pod";
  readonly verdict: "allow" | "deny";
  readonly ms: number;
}

/** A question that can be put to a node. */
export interface Attempt {
  readonly from: ProbeRow["from"];
  readonly node: string;
  readonly to: ProbeRow["to"];
  readonly via: ProbeRow["via"];
  /** The Service has nobody behind it: a refusal comes from the node, not from a pod. */
  readonly unbacked: boolean;
}

export interface ProbeOptions {
  /** Only from and to these namespaces; default all but kube-system. */
  readonly namespaces?: readonly string[];
  /** Also every pod behind a Service by itself. */
  readonly pods?: boolean;
  /** Ask these instead of everything. */
  readonly questions?: readonly Question[];
  readonly signal?: AbortSignal;
}

const TRIES = 5;
const RETRY_MS = 500;
/** First try, and the second one of what was silent: together under 3 s. */
const TIMEOUTS_MS = [1_000, 1_500] as const;

/**
 * Makes real connection attempts from pods of the running lab: from every workload to every Service port, or the
 * questions given (answers in their order). `allow`: the connection was made, or refused by the target itself; `deny`: silence.
 * @throws WeftError E_NO_LAB, E_QUESTION for what cannot be asked
 */
export async function labProbe(options: ProbeOptions = {}): Promise<ProbeRow[]> {
  const { plan } = runningLab();
  using client = await labClient();
  for (let tries = 1; ; tries++) {
    const view = await readView(client, options.signal);
    const attempts = options.questions
      ? questionAttempts(view, options.questions)
      : matrixAttempts(view, options);
    try {
      return await ask(plan, attempts, options.signal);
    } catch (thrown) {
      // A pod went, or a kubelet was started anew, between the reading and the asking.
      if (!(thrown instanceof WeftError) || thrown.code !== "E_LAB" || tries === TRIES) throw thrown;
      await delay(RETRY_MS, undefined, options.signal && { signal: options.signal });
    }
  }
}

async function readView(client: KubeClient, signal: AbortSignal | undefined): Promise<ClusterView> {
  const given = signal ? { signal } : {};
  const [pods, services, slices] = await Promise.all([
    client.list<Pod>(resources.pods, given),
    client.list<Service>(resources.services, given),
    client.list<EndpointSlice>(resources.endpointSlices, given),
  ]);
  return { pods: pods.items, services: services.items, slices: slices.items };
}

async function ask(
  plan: LabPlan,
  attempts: readonly Attempt[],
  signal: AbortSignal | undefined,
): Promise<ProbeRow[]> {
  const results = new Array<NodeProbeResult>(attempts.length);
  let open = attempts.map((_, i) => i);
  for (const timeoutMs of TIMEOUTS_MS) {
    const byNode = Map.groupBy(open, (i) => attempts[i]!.node);
    await Promise.all(
      [...byNode].map(async ([node, indexes]) => {
        const probes = indexes.map((i) => nodeProbe(attempts[i]!));
        const answers = await probeFrom(plan, node, { timeoutMs, probes }, signal);
        for (const [at, i] of indexes.entries()) results[i] = answers[at]!;
      }),
    );
    open = open.filter((i) => results[i]!.outcome === "timeout");
    if (open.length === 0) break;
  }
  return attempts.map((attempt, i) => row(attempt, results[i]!));
}

function nodeProbe({ from, to }: Attempt): NodeProbe {
  return { from: `${from.namespace}/${from.pod}`, to: to.ip, port: to.port, protocol: to.protocol };
}

function row({ from, to, via, unbacked }: Attempt, { outcome, ms }: NodeProbeResult): ProbeRow {
  const allowed = outcome === "connected" || (outcome === "refused" && !unbacked);
  return { from, to, via, verdict: allowed ? "allow" : "deny", ms: Math.round(ms * 10) / 10 };
}

/** Reads questions (a JSON array, or one object a line). @throws WeftError E_QUESTION naming the entry and field */
export function parseQuestions(text: string, name: string): Question[] {
  let list: unknown;
  try {
    const trimmed = text.trim();
    list = trimmed.startsWith("[")
      ? JSON.parse(trimmed)
      : trimmed
          .split("\n")
          .filter((line) => line.trim() !== "")
          .map((line) => JSON.parse(line) as unknown);
  } catch (cause) {
    throw new WeftError("E_QUESTION", `${name}: not JSON`, { cause });
  }
  if (!Array.isArray(list)) throw new WeftError("E_QUESTION", `${name}: not a list of questions`);
  return list.map((entry: unknown, i) => checkQuestion(entry, `${name}, question ${i + 1}`));
}

function checkQuestion(entry: unknown, where: string): Question {
  const fail = (field: string, problem: string) =>
    new WeftError("E_QUESTION", `${where}: ${field}: ${problem}`);
  if (typeof entry !== "object" || entry === null) throw fail("question", "not an object");
  const { from, to, port, protocol = "TCP", ...rest } = entry as Record<string, unknown>;
  const unknown = Object.keys(rest)[0];
  if (unknown) throw fail(unknown, "unknown field");
  if (typeof from !== "string" || !/^[^/]+\/[^/]+$/.test(from)) throw fail("from", 'must be "namespace/pod"');
  if (typeof to !== "string" || to === "") throw fail("to", 'must be "namespace/pod" or an address');
  if (protocol !== "TCP" && protocol !== "UDP" && protocol !== "ICMP")
    throw fail("protocol", "must be TCP, UDP or ICMP");
  if (protocol === "ICMP") return { from, to, port: 0, protocol };
  if (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65_535)
    throw fail("port", `${JSON.stringify(port)} is not a port`);
  return { from, to, port, protocol };
}
