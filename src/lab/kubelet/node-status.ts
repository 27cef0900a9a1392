// SPDX-License-Identifier: Apache-2.0
import { cpus, release, totalmem } from "node:os";
import type { NodePlan } from "../layout.ts";
import type { NodeObject } from "../objects.ts";

const POD_LIMIT = "250";

/** The Node object a kubelet registers. */
export function nodeObject(plan: NodePlan): NodeObject {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name: plan.name,
      labels: {
        "kubernetes.io/hostname": plan.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture(),
        "node.kubernetes.io/instance-type": "weft-lab",
        ...(plan.index === 1 && { "node-role.kubernetes.io/control-plane": "" }),
      },
    },
    spec: { podCIDR: plan.podCidrs[0] ?? "", podCIDRs: [...plan.podCidrs] },
  };
}

/** `problem`: why pods cannot run here yet; undefined: they can. */
export function nodeStatus(plan: NodePlan, problem: string | undefined): NonNullable<NodeObject["status"]> {
  const now = new Date().toISOString();
  const fine = (type: string, reason: string, message: string) => ({
    type,
    status: "False" as const,
    reason,
    message,
    lastHeartbeatTime: now,
    lastTransitionTime: now,
  });
  const capacity = {
    cpu: String(cpus().length),
    memory: `${Math.floor(totalmem() / 1024)}Ki`,
    pods: POD_LIMIT,
    "ephemeral-storage": "100Gi",
  };
  return {
    addresses: [
      ...plan.addresses.map((address) => ({ type: "InternalIP", address: address as string })),
      { type: "Hostname", address: plan.name },
    ],
    capacity,
    allocatable: capacity,
    conditions: [
      fine("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
      fine("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
      fine("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
      {
        type: "Ready",
        status: problem === undefined ? "True" : "False",
        reason: problem === undefined ? "KubeletReady" : "KubeletNotReady",
        message: problem ?? "kubelet is posting ready status",
        lastHeartbeatTime: now,
        lastTransitionTime: now,
      },
    ],
    nodeInfo: {
      architecture: architecture(),
      bootID: "",
      containerRuntimeVersion: "weft-lab://0.1",
      kernelVersion: release(),
      kubeProxyVersion: "",
      kubeletVersion: "v1.34.0-weft-lab",
      machineID: "",
      operatingSystem: "linux",
      osImage: "Weft lab",
      systemUUID: "",
    },
  };
}

function architecture(): string {
  return process.arch === "x64" ? "amd64" : process.arch;
}
