// SPDX-License-Identifier: Apache-2.0
import type { Condition, Container, ContainerState, ContainerStatus, Pod, PodStatus } from "../objects.ts";

/** What the kubelet knows of one container. */
export interface ContainerView {
  readonly spec: Container;
  /** Of the sandbox of this container: `weft://…`; absent before the first start. */
  readonly id: string | undefined;
  readonly state: ContainerState;
  readonly lastState: ContainerState;
  readonly restarts: number;
  readonly started: boolean;
  readonly ready: boolean;
  /** Will not be started again. */
  readonly final: boolean;
}

export interface PodView {
  readonly pod: Pod;
  readonly startTime: string;
  readonly hostIps: readonly string[];
  readonly podIps: readonly string[];
  readonly sandboxReady: boolean;
  readonly init: readonly ContainerView[];
  readonly main: readonly ContainerView[];
}

/** The status a kubelet reports. Pure but for the clock given; conditions of others are kept. */
export function podStatus(view: PodView, now: string): PodStatus {
  const { pod, init, main } = view;
  const ips = view.podIps.map((ip) => ({ ip }));
  const initialized = init.every(isInitialized);
  const unready = main.filter((container) => !container.ready).map((container) => container.spec.name);
  const phase = phaseOf(view, initialized);
  const finished = phase === "Succeeded" || phase === "Failed";
  const containersReady = !finished && initialized && unready.length === 0;
  const gates = (pod.spec.readinessGates ?? []).map((gate) => gate.conditionType);
  const gatesOpen = gates.every((type) =>
    pod.status?.conditions?.some((condition) => condition.type === type && condition.status === "True"),
  );
  const notReady = finished
    ? { reason: "PodCompleted" }
    : { reason: "ContainersNotReady", message: `containers with unready status: [${unready.join(" ")}]` };
  const mine: Condition[] = [
    state("PodReadyToStartContainers", view.sandboxReady),
    state("Initialized", initialized, initialized ? {} : { reason: "ContainersNotInitialized" }),
    state(
      "Ready",
      containersReady && gatesOpen,
      containersReady ? (gatesOpen ? {} : { reason: "ReadinessGatesNotReady" }) : notReady,
    ),
    state("ContainersReady", containersReady, containersReady ? {} : notReady),
    state("PodScheduled", true),
  ];
  return {
    phase,
    conditions: mergeConditions(pod.status?.conditions ?? [], mine, now),
    ...(view.hostIps[0] && { hostIP: view.hostIps[0], hostIPs: view.hostIps.map((ip) => ({ ip })) }),
    ...(ips[0] && { podIP: ips[0].ip, podIPs: ips }),
    startTime: view.startTime,
    qosClass: pod.status?.qosClass ?? "BestEffort",
    ...(init.length > 0 && {
      initContainerStatuses: init.map((one) =>
        containerStatus(one, one.ready || one.state.terminated?.exitCode === 0),
      ),
    }),
    containerStatuses: main.map((one) => containerStatus(one, one.ready)),
  };
}

function isInitialized(container: ContainerView): boolean {
  if (container.spec.restartPolicy === "Always") return container.started;
  return container.state.terminated?.exitCode === 0;
}

function phaseOf({ init, main }: PodView, initialized: boolean): NonNullable<PodStatus["phase"]> {
  if (init.some((container) => container.final && !isInitialized(container))) return "Failed";
  if (!initialized) return "Pending";
  if (main.every((container) => container.final)) {
    return main.every((container) => container.state.terminated?.exitCode === 0) ? "Succeeded" : "Failed";
  }
  const begun = main.every(
    (container) => container.state.running || container.state.terminated || container.restarts > 0,
  );
  return begun ? "Running" : "Pending";
}

/** `ready`: an init container that has done its work is ready for good. */
function containerStatus(view: ContainerView, ready: boolean): ContainerStatus {
  const image = view.spec.image ?? "";
  return {
    name: view.spec.name,
    image,
    imageID: view.id ? `weft-lab://${image}` : "",
    ...(view.id && { containerID: view.id }),
    ready,
    started: view.started,
    restartCount: view.restarts,
    state: view.state,
    lastState: view.lastState,
  };
}

function state(type: string, isTrue: boolean, why: { reason?: string; message?: string } = {}): Condition {
  return { type, status: isTrue ? "True" : "False", ...why };
}

/** Ours replace those of the same type and keep their time while the status stays; the others stay as they are. */
function mergeConditions(before: readonly Condition[], mine: readonly Condition[], now: string): Condition[] {
  const others = before.filter((old) => !mine.some((one) => one.type === old.type));
  return [
    ...mine.map((one) => {
      const old = before.find((each) => each.type === one.type);
      const time = old?.status === one.status ? old.lastTransitionTime : undefined;
      return { ...one, lastProbeTime: null, lastTransitionTime: time ?? now };
    }),
    ...others,
  ];
}
