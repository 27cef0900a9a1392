// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BpfLink } from "#kernel/bpf/link.ts";
import { BpfMap } from "#kernel/bpf/map.ts";
import { labBpfDir, labCgroup } from "./lab-run.ts";

/** Maps that hold what the agent wants, and no traffic. */
const wanted = [
  "endpoints_by_addr",
  "endpoints_by_ifindex",
  "ipcache",
  "lb_backends",
  "lb_frontends",
  "lb_reverse",
  "lb_slots",
  "policies",
] as const;

/** What a node's kernel holds of its agent: numbers of maps and links, elements as text. Pods' links are not in it: see {@link podLinks}. */
export interface KernelState {
  readonly maps: Readonly<Record<string, number>>;
  readonly links: Readonly<Record<string, number>>;
  /** `lb_frontends 0a60…: 01…`, sorted; a policy's own elements stand under the number of its inner map. */
  readonly elements: readonly string[];
}

export function kernelState(node: string): KernelState {
  return kernelStateIn(join(labBpfDir, node));
}

/** `dir`: where an agent pins its maps and links. */
export function kernelStateIn(dir: string): KernelState {
  const maps: Record<string, number> = {};
  const elements: string[] = [];
  for (const name of readdirSync(join(dir, "maps"))) {
    using map = BpfMap.openPinned(join(dir, "maps", name));
    maps[name] = map.info.id;
    if (wanted.some((one) => one === name)) elements.push(...elementsOf(name, map));
  }
  const links: Record<string, number> = {};
  for (const name of readdirSync(join(dir, "links")).filter((one) => !isOfPod(one))) {
    using link = BpfLink.openPinned(join(dir, "links", name));
    links[name] = link.info().id;
  }
  return { maps, links, elements: elements.sort() };
}

const isOfPod = (name: string) => name.startsWith("pod_");

/** Numbers of the links of a node's pods, by name of their pins: they come when no pod has come or gone for a while. */
export function podLinks(node: string): Record<string, number> {
  const dir = join(labBpfDir, node, "links");
  return Object.fromEntries(
    readdirSync(dir)
      .filter(isOfPod)
      .map((name) => {
        using link = BpfLink.openPinned(join(dir, name));
        return [name, link.info().id];
      }),
  );
}

function elementsOf(name: string, map: BpfMap): string[] {
  const found: string[] = [];
  for (const [key, value] of map.entries()) {
    found.push(`${name} ${hex(key)}: ${hex(value)}`);
    if (name !== "policies") continue;
    const id = new DataView(value.buffer, value.byteOffset).getUint32(0, true);
    using inner = BpfMap.openId(id);
    found.push(...elementsOf(`policy ${id}`, inner));
  }
  return found;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** Process number of a node's agent; undefined while it is down. */
export function agentPid(node: string): number | undefined {
  const text = readFileSync(join(labCgroup, node, "agent/cgroup.procs"), "utf8");
  return text === "" ? undefined : Number(text.split("\n")[0]);
}
