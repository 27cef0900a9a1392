// SPDX-License-Identifier: Apache-2.0
import { podProblem } from "./ask.ts";
import { isReadyPod } from "./objects.ts";
import type { AgentAnswer, NodeReport, Problem, Snapshot } from "./report.ts";

/** A part that is still starting after so long does not start. */
const startingMs = 60_000;
const mapWarning = 0.8;
const mapError = 0.95;

/** What is wrong on a node, the reason before what follows from it. */
export function agentProblems(node: NodeReport, answer: AgentAnswer | undefined): Problem[] {
  const about = `node ${node.name}`;
  const error = (text: string, hint?: string): Problem => ({
    severity: "error",
    about,
    text,
    ...(hint && { hint }),
  });
  const { agent, status } = node;
  if (!agent) {
    const problem = error(
      "no agent runs on it",
      "its pods get no network; look at the taints of the node and the tolerations of DaemonSet weft",
    );
    return [problem];
  }
  const problems: Problem[] = [];
  const logs = `kubectl logs -n ${agent.namespace} ${agent.pod} -c agent`;
  if (!agent.ready)
    problems.push(error(`agent ${agent.pod} ${agent.problem ?? "is not ready"}`, `look at its log: ${logs}`));
  else if (answer?.error) problems.push(error(`agent does not answer: ${answer.error}`));
  if (agent.ready && !node.ready)
    problems.push(error("Kubernetes says NotReady", `kubectl describe node ${node.name}`));
  if (status) problems.push(...partProblems(about, status), ...mapProblems(about, status));
  const refused = status?.counts["refused policies"] ?? 0;
  if (refused > 0)
    problems.push({
      severity: "warning",
      about,
      text: `${refused} policies are refused, and not applied`,
      hint: "weft policy get says which and why",
    });
  return problems;
}

function partProblems(about: string, status: NonNullable<AgentAnswer["status"]>): Problem[] {
  return status.health
    .filter(({ ok }) => !ok)
    .filter(({ level }) => level !== "stopped")
    .filter((part) => part.level !== "starting" || status.uptimeSec * 1000 > startingMs)
    .map((part) => ({
      severity: "error",
      about,
      text: `${part.name}: ${part.text === "" || part.text === part.level ? `${part.level ?? "not well"}` : part.text}`,
    }));
}

function mapProblems(about: string, status: NonNullable<AgentAnswer["status"]>): Problem[] {
  return (status.maps ?? [])
    .filter(({ entries, maxEntries }) => maxEntries > 0 && entries / maxEntries >= mapWarning)
    .map(({ name, entries, maxEntries }) => ({
      severity: entries / maxEntries >= mapError ? "error" : "warning",
      about,
      text: `map ${name} is ${Math.floor((100 * entries) / maxEntries)} % full (${entries} of ${maxEntries})`,
      hint: `weft bpf ${name.split("_")[0]} list --node ${about.replace("node ", "")} shows what fills it${name.startsWith("lb_") ? "; the agent's setting services.capacity makes room for more" : ""}`,
    }));
}

/** What is wrong with the operators. A renewal is judged by this machine's clock, so only what is long overdue counts. */
export function operatorProblems({ pods, lease, nowMs }: Snapshot, leader: string | undefined): Problem[] {
  const about = "operator";
  const { operator } = pods;
  if (operator.length === 0)
    return [
      {
        severity: "error",
        about,
        text: "no operator runs",
        hint: "kubectl describe deployment weft-operator -A",
      },
    ];
  const problems: Problem[] = operator
    .filter((pod) => !isReadyPod(pod))
    .map((pod) => ({
      severity: operator.some(isReadyPod) ? "warning" : "error",
      about,
      text: `${pod.metadata.name} ${podProblem(pod) ?? "is not ready"}`,
      hint: `kubectl logs -n ${pod.metadata.namespace} ${pod.metadata.name}`,
    }));
  if (problems.some(({ severity }) => severity === "error")) return problems;
  const renewed = Date.parse(lease?.spec?.renewTime ?? "");
  const overdueMs = nowMs - renewed - 4_000 * (lease?.spec?.leaseDurationSeconds ?? 15);
  if (leader === undefined) problems.push({ severity: "error", about, text: "none leads: no Lease is held" });
  else if (overdueMs > 0)
    problems.push({
      severity: "error",
      about,
      text: `${leader} leads, but has not renewed its Lease for ${Math.round((nowMs - renewed) / 1000)} s`,
    });
  return problems;
}

/** The relay is optional: that it is not there is no problem. */
export function relayProblems({ pods }: Snapshot): Problem[] {
  if (pods.relay.some(isReadyPod)) return [];
  return pods.relay.map((pod) => ({
    severity: "warning",
    about: "relay",
    text: `${pod.metadata.name} ${podProblem(pod) ?? "is not ready"}`,
    hint: `kubectl logs -n ${pod.metadata.namespace} ${pod.metadata.name}`,
  }));
}

/** Agents of different versions, and agents of another version than this command. */
export function skewProblems(nodes: readonly NodeReport[], version: string): Problem[] {
  const byVersion = new Map<string, string[]>();
  for (const { name, status } of nodes)
    if (status) byVersion.set(status.version, [...(byVersion.get(status.version) ?? []), name]);
  const about = "cluster";
  if (byVersion.size > 1) {
    const list = [...byVersion].map(([v, names]) => `${v} on ${names.join(", ")}`).join("; ");
    return [
      {
        severity: "warning",
        about,
        text: `agents run different versions: ${list}`,
        hint: "an upgrade is under way or was left half-way: kubectl rollout status daemonset/weft",
      },
    ];
  }
  const [only] = byVersion.keys();
  if (only === undefined || only === version) return [];
  return [{ severity: "warning", about, text: `agents run ${only}, this command is ${version}` }];
}
