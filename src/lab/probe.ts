// SPDX-License-Identifier: Apache-2.0

import { setTimeout as delay } from "node:timers/promises";
import type { KubeClient } from "#k8s/client.ts";
import { resources } from "#k8s/resource.ts";
import { netnsPath } from "#kernel/netns.ts";
import { runProbes } from "#kernel/probe.ts";
import { WeftError } from "#lib/errors.ts";
import { parseAddress } from "#model/ip.ts";
import type { NodeProbe, NodeProbeResult } from "./kubelet/server.ts";
import { probeFrom } from "./kubelet-client.ts";
import { type LabPlan, WORLD } from "./layout.ts";
import type { EndpointSlice, NodeObject, Pod, Service } from "./objects.ts";
import type { Attempt, ClusterView, ProbeOptions, ProbeRow } from "./probe-attempt.ts";
import { matrixAttempts } from "./probe-matrix.ts";
import { questionAttempts } from "./probe-questions.ts";
import { labClient, runningLab } from "./status.ts";

const TRIES = 5;
const RETRY_MS = 500;
/** First try, and the second one of what was silent: together under 3 s. */
const TIMEOUTS_MS = [1_000, 1_500] as const;

/**
 * Makes real connection attempts from pods of the running lab: from every workload to every Service port, or the
 * questions given (answers in their order). `allow`: the connection was made, or refused by the target itself; `deny`: silence.
 * @throws WeftError E_NO_LAB, E_QUESTION for what cannot be asked, E_NOT_SUPPORTED for a protocol the kernel lacks
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
      return await ask(plan, attempts, options);
    } catch (thrown) {
      // A pod went, or a kubelet was started anew, between the reading and the asking.
      if (!(thrown instanceof WeftError) || thrown.code !== "E_LAB" || tries === TRIES) throw thrown;
      await delay(RETRY_MS, undefined, options.signal && { signal: options.signal });
    }
  }
}

async function readView(client: KubeClient, signal: AbortSignal | undefined): Promise<ClusterView> {
  const given = signal ? { signal } : {};
  const [pods, services, slices, nodes] = await Promise.all([
    client.list<Pod>(resources.pods, given),
    client.list<Service>(resources.services, given),
    client.list<EndpointSlice>(resources.endpointSlices, given),
    client.list<NodeObject>(resources.nodes, given),
  ]);
  return { pods: pods.items, services: services.items, slices: slices.items, nodes: nodes.items };
}

async function ask(
  plan: LabPlan,
  attempts: readonly Attempt[],
  { timeoutMs: given, signal }: ProbeOptions,
): Promise<ProbeRow[]> {
  const results = new Array<NodeProbeResult>(attempts.length);
  let open = attempts.map((_, i) => i);
  for (const timeoutMs of given === undefined ? TIMEOUTS_MS : [given]) {
    const byNode = Map.groupBy(open, (i) => attempts[i]!.node);
    await Promise.all(
      [...byNode].map(async ([node, indexes]) => {
        const own = indexes.map((i) => attempts[i]!);
        const answers =
          node === ""
            ? await probeFromWorld(own, timeoutMs, signal)
            : await probeFrom(plan, node, { timeoutMs, probes: own.map(nodeProbe) }, signal);
        for (const [at, i] of indexes.entries()) results[i] = answers[at]!;
      }),
    );
    open = open.filter((i) => results[i]!.outcome === "timeout");
    if (open.length === 0) break;
  }
  return attempts.map((attempt, i) => row(attempt, results[i]!));
}

function nodeProbe({ from, to }: Attempt): NodeProbe {
  const pod = from.pod === "" ? "" : `${from.namespace}/${from.pod}`;
  return { from: pod, to: to.ip, port: to.port, protocol: to.protocol };
}

function probeFromWorld(attempts: readonly Attempt[], timeoutMs: number, signal: AbortSignal | undefined) {
  const netns = netnsPath(WORLD);
  const probes = attempts.map(({ to: { protocol, ip, port }, source }) => ({
    ...{ protocol, to: parseAddress(ip), port, netns },
    ...(source && { source }),
  }));
  return runProbes(probes, { timeoutMs, ...(signal && { signal }) });
}

function row({ from, to, via, unbacked }: Attempt, { outcome, errno, ms }: NodeProbeResult): ProbeRow {
  if (errno === "EPROTONOSUPPORT")
    throw new WeftError("E_NOT_SUPPORTED", `this machine's kernel does not speak ${to.protocol}`);
  const allowed = outcome === "connected" || (outcome === "refused" && !unbacked);
  return { from, to, via, verdict: allowed ? "allow" : "deny", ms: Math.round(ms * 10) / 10 };
}
