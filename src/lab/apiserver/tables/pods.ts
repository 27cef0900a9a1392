// SPDX-License-Identifier: Apache-2.0
import {
  type JsonObject,
  type KubeObject,
  listAt,
  numberAt,
  objectAt,
  stringAt,
  valueAt,
} from "../object.ts";
import { age, ageOf, columns, nameOf, orText, type TableLayout } from "./table.ts";

export const podTable: TableLayout = {
  columns: columns(
    "Name",
    "Ready",
    "Status",
    "Restarts",
    "Age",
    "!IP",
    "!Node",
    "!Nominated Node",
    "!Readiness Gates",
  ),
  cells: (pod) => {
    const containers = listAt(pod, "spec", "containers");
    const statuses = listAt(pod, "status", "containerStatuses");
    const ready = statuses.filter((status) => status["ready"] === true).length;
    return [
      nameOf(pod),
      `${ready}/${containers.length}`,
      podStatus(pod),
      restartsText(pod),
      ageOf(pod),
      orText(valueAt(pod, "status", "podIP"), "<none>"),
      orText(valueAt(pod, "spec", "nodeName"), "<none>"),
      orText(valueAt(pod, "status", "nominatedNodeName"), "<none>"),
      gatesText(pod),
    ];
  },
};

/** The word kubectl shows for a pod: the most telling of phase, container states and deletion. */
export function podStatus(pod: KubeObject): string {
  const phase = orText(valueAt(pod, "status", "reason") || valueAt(pod, "status", "phase"), "Unknown");
  const init = initStatus(pod);
  let text = init ?? containerStatus(pod, phase);
  if (listAt(pod, "spec", "schedulingGates").length > 0 && stringAt(pod, "spec", "nodeName") === "")
    text = "SchedulingGated";
  if (pod.metadata.deletionTimestamp && stringAt(pod, "status", "reason") === "NodeLost") return "Unknown";
  return pod.metadata.deletionTimestamp && phase !== "Failed" && phase !== "Succeeded" ? "Terminating" : text;
}

/** `Init:0/2` or why the first unfinished init container does not get on; undefined when they are done. */
function initStatus(pod: KubeObject): string | undefined {
  const statuses = listAt(pod, "status", "initContainerStatuses");
  for (const [i, status] of statuses.entries()) {
    const terminated = objectAt(status, "state", "terminated");
    const isSidecar = listAt(pod, "spec", "initContainers").some(
      (c) => c["name"] === status["name"] && c["restartPolicy"] === "Always",
    );
    if (
      status["state"] !== undefined &&
      "terminated" in objectAt(status, "state") &&
      numberAt(terminated, "exitCode") === 0
    )
      continue;
    if (isSidecar && status["started"] === true) continue;
    if ("terminated" in objectAt(status, "state")) return `Init:${exitText(terminated)}`;
    const waiting = stringAt(status, "state", "waiting", "reason");
    if (waiting && waiting !== "PodInitializing") return `Init:${waiting}`;
    return `Init:${i}/${listAt(pod, "spec", "initContainers").length}`;
  }
  return undefined;
}

function exitText(terminated: JsonObject): string {
  const reason = stringAt(terminated, "reason");
  if (reason) return reason;
  const signal = numberAt(terminated, "signal");
  return signal !== 0 ? `Signal:${signal}` : `ExitCode:${numberAt(terminated, "exitCode")}`;
}

function containerStatus(pod: KubeObject, phase: string): string {
  let text = phase;
  let running = false;
  for (const status of listAt(pod, "status", "containerStatuses").reverse()) {
    const state = objectAt(status, "state");
    const waiting = stringAt(state, "waiting", "reason");
    if (waiting) text = waiting;
    else if ("terminated" in state) text = exitText(objectAt(state, "terminated"));
    else if (status["ready"] === true && "running" in state) running = true;
  }
  if (text !== "Completed" || !running) return text;
  const isReady = listAt(pod, "status", "conditions").some(
    (c) => c["type"] === "Ready" && c["status"] === "True",
  );
  return isReady ? "Running" : "NotReady";
}

function restartsText(pod: KubeObject): string {
  const statuses = listAt(pod, "status", "containerStatuses");
  const restarts = statuses.reduce((sum, status) => sum + numberAt(status, "restartCount"), 0);
  const ends = statuses
    .map((status) => stringAt(status, "lastState", "terminated", "finishedAt"))
    .filter((time) => time !== "");
  const last = ends.sort().at(-1);
  return restarts > 0 && last ? `${restarts} (${age(last)} ago)` : String(restarts);
}

function gatesText(pod: KubeObject): string {
  const gates = listAt(pod, "spec", "readinessGates");
  if (gates.length === 0) return "<none>";
  const met = gates.filter((gate) =>
    listAt(pod, "status", "conditions").some(
      (c) => c["type"] === gate["conditionType"] && c["status"] === "True",
    ),
  );
  return `${met.length}/${gates.length}`;
}
