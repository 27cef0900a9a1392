// SPDX-License-Identifier: Apache-2.0
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { attachXdp } from "#kernel/bpf/link.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import type { AttachTarget } from "./attach-target.ts";
import { detachPinned, ensureLink } from "./persistent-link.ts";

/** Where XDP runs: in the device's driver; in the stack before it does anything else, on every device; or the first where there is one. */
export type XdpMode = "auto" | "native" | "generic";

export interface XdpDevice {
  readonly name: string;
  readonly ifindex: number;
}

const prefix = "xdp_";
const kernelModes = { auto: "auto", native: "driver", generic: "generic" } as const;

/**
 * The balancer before the stack on these devices, and on no other: links of an earlier agent that are no longer wanted go. The mode is part of
 * a link's name, as no link can say in which it was made. Without a device the programs of XDP need not be loaded.
 * @throws WeftError E_XDP
 */
export function attachBalancer(target: AttachTarget, devices: readonly XdpDevice[], mode: XdpMode): void {
  const wanted = new Map(devices.map((device) => [`${prefix}${mode}_${device.ifindex}`, device]));
  for (const name of existsSync(target.linksDir) ? readdirSync(target.linksDir) : [])
    if (name.startsWith(prefix) && !wanted.has(name)) detachPinned(join(target.linksDir, name));
  for (const [name, { name: device, ifindex }] of wanted) {
    const program = target.datapath.program("from_wire");
    const attach = () => attachXdp({ program, ifindex, mode: kernelModes[mode] });
    try {
      ensureLink(join(target.linksDir, name), program, attach, { ifindex, log: target.log });
    } catch (error) {
      throw new WeftError("E_XDP", `the balancer can't run at XDP of device ${device}: ${errorText(error)}`, {
        hint: "set `xdp.mode: generic`, or take the device out of `xdp.devices`; a device has room for one XDP program",
        cause: error,
      });
    }
  }
}
