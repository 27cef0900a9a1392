// SPDX-License-Identifier: Apache-2.0
import { closeSync, openSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { ProgramType } from "#kernel/bpf/kinds.ts";
import { attachCgroup, attachTcx } from "#kernel/bpf/link.ts";
import { addClsact, setBpfFilter } from "#kernel/netlink/filter.ts";
import { attachAcceleration } from "./accelerate.ts";
import type { AttachTarget } from "./attach-target.ts";
import { dropLink, ensureLink } from "./persistent-link.ts";
import { renewPodLink } from "./pod-links.ts";

type Direction = "ingress" | "egress";

function attachDevice(
  target: AttachTarget,
  name: string,
  at: { ifindex: number; direction: Direction; program: string; position?: "first" },
): void {
  const { ifindex, direction, position } = at;
  const program = target.datapath.program(at.program);
  ensureLink(
    join(target.linksDir, `${name}_${direction}`),
    program,
    () => attachTcx({ program, ifindex, direction, ...(position && { position }) }),
    {
      ifindex,
      log: target.log,
    },
  );
}

/** Of the pods' filters: one beside them of the same priority would be replaced. */
const podFilterPriority = 1;

/**
 * A pod's host-side veth: what it sends arrives at ingress, what the node's stack sends it leaves at egress. By traffic control, not by
 * tcx links: a tcx attachment waits for an RCU grace period under the lock of all network devices (12 ms each, two a pod), a filter does
 * not. Filters stay when the agent ends, are replaced in one step, and go with the device. A link comes later: see {@link renewPodLink}.
 */
export function attachPod(target: AttachTarget, device: { readonly ifindex: number }): void {
  const { netlink, datapath } = target;
  const link = device.ifindex;
  addClsact(netlink, link);
  for (const [direction, name] of [
    ["ingress", "from_pod"],
    ["egress", "to_pod"],
  ] as const) {
    const { fd } = datapath.program(name);
    setBpfFilter(netlink, { link, direction, priority: podFilterPriority, name, fd: fd.number });
  }
  renewPodLink(target, link);
}

/** What is attached to the node's devices. */
export interface NodeAttachment {
  readonly ifindex: number;
  /** 0: there is no tunnel. */
  readonly tunnelIfindex: number;
  /** Whether the node answers on the wire for addresses of services. */
  readonly announces: boolean;
}

/** The node's own device, and the tunnel's when there is one. */
export function attachNode(target: AttachTarget, attachment: NodeAttachment): void {
  const { ifindex, tunnelIfindex, announces } = attachment;
  attachDevice(target, "device", { ifindex, direction: "ingress", program: "from_device" });
  attachDevice(target, "device", { ifindex, direction: "egress", program: "to_device" });
  const answers = {
    ifindex,
    direction: "ingress",
    program: "answer_for_services",
    position: "first",
  } as const;
  if (announces) attachDevice(target, "announce", answers);
  else dropLink(join(target.linksDir, "announce_ingress"));
  if (tunnelIfindex > 0) {
    attachDevice(target, "tunnel", { ifindex: tunnelIfindex, direction: "ingress", program: "from_overlay" });
    attachDevice(target, "tunnel", { ifindex: tunnelIfindex, direction: "egress", program: "to_overlay" });
  } else {
    for (const direction of ["ingress", "egress"]) dropLink(join(target.linksDir, `tunnel_${direction}`));
  }
}

/**
 * The devices, by index, beside the node's own where answers to its egress addresses come in; those of before that are none any more are let
 * go. @throws KernelError when one of them is gone meanwhile
 */
export function attachEgressDevices(target: AttachTarget, devices: ReadonlySet<number>): void {
  for (const name of readdirSync(target.linksDir)) {
    const ifindex = /^egress_(\d+)_ingress$/.exec(name)?.[1];
    if (ifindex !== undefined && !devices.has(Number(ifindex))) dropLink(join(target.linksDir, name));
  }
  for (const ifindex of devices)
    attachDevice(target, `egress_${ifindex}`, {
      ifindex,
      direction: "ingress",
      program: "from_egress_device",
    });
}

/** For every process below the cgroup: service translation at connect, and the way past the network where it is asked for. */
export function attachSockets(target: AttachTarget, cgroup: string): void {
  const fd = openSync(cgroup, "r");
  try {
    for (const [name, program] of target.datapath.programs) {
      const kind = target.datapath.kinds.get(name);
      if (!kind || !cgroupTypes.has(kind.type)) continue;
      const { attachType } = kind;
      ensureLink(
        join(target.linksDir, `sock_${name}`),
        program,
        () => attachCgroup({ program, fd, attachType }),
        { log: target.log },
      );
    }
    attachAcceleration(target, fd);
  } finally {
    closeSync(fd);
  }
}

const cgroupTypes: ReadonlySet<number> = new Set([ProgramType.cgroupSock, ProgramType.cgroupSockAddr]);
