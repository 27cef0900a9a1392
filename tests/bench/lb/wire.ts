// SPDX-License-Identifier: Apache-2.0
/** Generated datagrams into a node's device from outside, and what came out of it again, counted. */
import { execFileSync, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { attachTcx, attachXdp, type BpfLink } from "#kernel/bpf/link.ts";
import { type Collection, loadCollection } from "#kernel/bpf/object.ts";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { linkIndex } from "#kernel/netlink/link.ts";
import { inNetns, netnsPath } from "#kernel/netns.ts";
import { compiledSpec } from "#kit/bpf-object.ts";
import { addressBytes, parseAddress } from "#model/ip.ts";
import { compileTool } from "../native.ts";
import type { Outside } from "../node-place.ts";
import { nodePort } from "./services.ts";

/** The same flows again and again, or none twice. */
export const flowKinds = ["known flows", "a new flow per packet"] as const;
export type FlowKind = (typeof flowKinds)[number];

export interface WireWindow {
  /** CPU nanoseconds for each datagram sent: its making, the way in, and all that it set off. */
  readonly cpuNs: number;
  /** What part of them came out again. */
  readonly delivered: number;
}

/** A way for datagrams from outside, through a node. */
export interface Wire extends Disposable {
  readonly name: string;
  send(kind: FlowKind): Promise<WireWindow>;
}

const tool = () => compileTool("generate");
const core = 1;
const knownFlows = 1024;
/** The number of the next new flow, of all wires: none comes twice, whoever remembers it. No known one reaches the first. */
let nextNew = 1 << 16;
/** A window is some 60 ms where a packet is dearest. Few new flows: NAT ports and conntrack have to last for all rounds. */
const packets: Readonly<Record<FlowKind, number>> = { "known flows": 16_384, "a new flow per packet": 4096 };

/**
 * Where the way ends: `xdp` beyond the node, in the driver, as XDP_TX needs a program at the other end; `skb` beyond the node, as what
 * the node's stack sends is cheapest to drop there; `device` at the node's own device, which is the cost of a datagram that is not balanced;
 * `bounce` beyond the node, sent back by the least of programs.
 */
export type WireEnd = "xdp" | "skb" | "device" | "bounce";

export interface WireOptions {
  readonly name: string;
  /** Name of the node's network namespace. */
  readonly node: string;
  readonly outside: Outside;
  readonly end: WireEnd;
}

export function openWire({ name, node, outside, end }: WireOptions): Wire {
  using stack = new DisposableStack();
  const programs = stack.use(loadCollection(compiledSpec("tests/bench/generate.bpf.c")));
  const there = netnsPath(outside.netns);
  const here = netnsPath(node);
  execFileSync(tool(), ["--gro", "--netns", here, "--device", outside.device], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const ifindex = indexOf(there, outside.device);
  const inner = indexOf(here, outside.device);
  const xdp = (netns: string, program: string, index: number): BpfLink =>
    stack.use(
      inNetns(netns, () => attachXdp({ program: programs.program(program), ifindex: index, mode: "driver" })),
    );
  if (end === "device") xdp(here, "sink", inner);
  else if (end === "skb") {
    const program = programs.program("sink_skb");
    stack.use(inNetns(there, () => attachTcx({ program, ifindex, direction: "ingress" })));
  } else xdp(there, "sink", ifindex);
  if (end === "bounce") xdp(here, "bounce", inner);
  const softirq = softirqPid();
  const kept = stack.move();
  return {
    name,
    async send(kind) {
      const count = packets[kind];
      const known = kind === "known flows";
      writeJob(programs, {
        ifindex,
        next: known ? 0 : nextNew,
        mask: known ? knownFlows - 1 : 0xffff_ffff,
        outside,
      });
      if (!known) nextNew += count;
      const before = arrived(programs);
      const args = ["--netns", there, "--packets", String(count), "--core", String(core), "--fifo"];
      if (softirq !== undefined) args.push("--softirq", softirq);
      const { cpuNs } = await generate(programs, args);
      return { cpuNs: cpuNs / count, delivered: (arrived(programs) - before) / count };
    },
    [Symbol.dispose]: () => kept.dispose(),
  };
}

function indexOf(netns: string, device: string): number {
  using netlink = openNetlink({ netns });
  return linkIndex(netlink, device);
}

interface Job {
  readonly ifindex: number;
  readonly next: number;
  readonly mask: number;
  readonly outside: Outside;
}

/** `struct job` of generate.bpf.c. */
function writeJob(programs: Collection, { ifindex, next, mask, outside }: Job): void {
  const bytes = new Uint8Array(32);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, ifindex, true);
  view.setUint32(4, next, true);
  view.setUint32(8, mask, true);
  bytes.set(addressBytes(parseAddress(outside.address)).subarray(12), 12);
  view.setUint16(16, nodePort);
  bytes.set(macBytes(outside.nodeMac), 18);
  bytes.set(macBytes(outside.mac), 24);
  programs.map("jobs").update(new Uint8Array(4), bytes);
}

function macBytes(text: string): number[] {
  return text.split(":").map((part) => Number.parseInt(part, 16));
}

function arrived(programs: Collection): number {
  const bytes = programs.map("arrived").lookup(new Uint8Array(4))!;
  return Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
}

async function generate(programs: Collection, args: readonly string[]): Promise<{ cpuNs: number }> {
  const program = programs.program("generate").fd.number;
  const child = spawn(tool(), args, { stdio: ["ignore", "pipe", "inherit", program], timeout: 20_000 });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  const [said, code] = await Promise.all([text(child.stdout!), ended]);
  if (code !== 0) throw new Error(`generate ended with ${code}`);
  return JSON.parse(said) as { cpuNs: number };
}

/** The core's ksoftirqd; undefined where it cannot be seen. */
function softirqPid(): string | undefined {
  return readdirSync("/proc").find((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/comm`, "utf8").trim() === `ksoftirqd/${core}`;
    } catch {
      return false;
    }
  });
}
