// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import type { DnsServer } from "../dns/server.ts";
import type { Play } from "../image-map.ts";
import type { Families } from "../layout.ts";
import type { Container, Pod } from "../objects.ts";
import { podCommand, podPath } from "../pod-command.ts";
import { startCalls } from "../stand-in/calls.ts";
import type { Role } from "../stand-in/http.ts";
import type { Player } from "../stand-in/player.ts";
import { type PlayedPort, peersInEnv, playedPorts } from "../stand-in/ports.ts";
import type { LogBuffer } from "./log-buffer.ts";

export interface Exit {
  readonly code: number;
  /** Number of the signal that ended it. */
  readonly signal?: number;
}

/** A container that runs. */
export interface RunningContainer {
  readonly exited: Promise<Exit>;
  /** SIGTERM now, SIGKILL after the grace period. */
  stop(graceMs: number): void;
  /** A stand-in takes further ports; a process knows its own. */
  listen?(ports: readonly PlayedPort[]): void;
}

/** Where and as whom a container runs. */
export interface ContainerStart {
  readonly pod: Pod;
  readonly container: Container;
  readonly play: Play;
  readonly env: Readonly<Record<string, string>>;
  readonly log: LogBuffer;
  readonly netns: string;
  /** cgroup2 directory of the pod. */
  readonly cgroup: string;
  readonly nameserver: string;
  /** Directory with the pod's resolv.conf, hosts and hostname. */
  readonly etc: string;
  /** An init container that is not a sidecar: a stand-in for it is done at once. */
  readonly once: boolean;
}

export interface ContainerRuntime {
  readonly node: string;
  readonly families: Families;
  readonly player: Player;
  readonly dns: DnsServer;
}

/** How often a stand-in calls the peers its manifest names. */
const PEERS_EVERY = "10s";

/** The lab's own images, played by name: everything else unknown is a plain stand-in. */
const DNS_IMAGE = /(^|\/)(lab-dns|coredns|kube-dns)(:|@|$)/;

export function startContainer(runtime: ContainerRuntime, start: ContainerStart): RunningContainer {
  return start.play.kind === "process" ? startProcess(start, start.play) : startStandIn(runtime, start);
}

function startStandIn(runtime: ContainerRuntime, start: ContainerStart): RunningContainer {
  const { pod, container, env, log } = start;
  let finish: (exit: Exit) => void = () => {};
  const exited = new Promise<Exit>((resolve) => {
    finish = resolve;
  });
  if (start.once) {
    log.line(`stand-in for ${container.image ?? "an image"}: nothing to initialise`);
    finish({ code: 0 });
    return { exited, stop: () => {} };
  }
  const role: Role = {
    namespace: pod.metadata.namespace ?? "default",
    pod: pod.metadata.name,
    node: runtime.node,
    container: container.name,
    bareName:
      (container.args ?? []).includes("serve-hostname") || /serve[-_]hostname/.test(container.image ?? ""),
    log: (text) => log.line(text),
  };
  const closers: (() => void)[] = [];
  let listen: RunningContainer["listen"];
  if (DNS_IMAGE.test(container.image ?? "")) closers.push(runtime.dns.serve(start.netns, role));
  else {
    const ports = playedPorts(container);
    const playing = runtime.player.play({ netns: start.netns, families: runtime.families, ports, role });
    closers.push(() => playing.close());
    listen = playing.listen;
    const peers = env.CALLS ?? peersInEnv(container).join(",");
    const calls = env.CALLS === undefined ? { CALLS: peers, EVERY: PEERS_EVERY } : env;
    if (peers)
      closers.push(startCalls({ netns: start.netns, nameserver: start.nameserver, env: calls, role }));
    else if (ports.length === 0 && pod.spec.restartPolicy !== "Always") {
      // A job's container: a stand-in has no work to do, so it is done.
      const timer = setTimeout(() => finish({ code: 0 }), 500);
      closers.push(() => clearTimeout(timer));
    }
  }
  const stop = () => {
    for (const close of closers.splice(0)) close();
    finish({ code: 0 });
  };
  void exited.then(stop);
  return { exited, stop, ...(listen && { listen }) };
}

function startProcess(start: ContainerStart, play: Play & { kind: "process" }): RunningContainer {
  const { container, log } = start;
  const { file, args } = podCommand({
    netns: start.netns,
    cgroup: start.cgroup,
    root: play.root,
    cwd: container.workingDir,
    hostname: start.pod.spec.hostname ?? start.pod.metadata.name,
    etc: start.etc,
    argv: play.argv,
  });
  const env = {
    PATH: podPath(),
    HOME: "/root",
    HOSTNAME: start.pod.spec.hostname ?? start.pod.metadata.name,
    ...play.env,
    ...start.env,
  };
  const child = spawn(file, args, { env, stdio: ["ignore", "pipe", "pipe"], detached: true });
  child.stdout.on("data", (chunk: Buffer) => log.write(chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => log.write(chunk.toString()));
  const exited = new Promise<Exit>((resolve) => {
    child.once("error", (error) => {
      log.line(`cannot start ${play.argv[0]}: ${error.message}`);
      resolve({ code: 128 });
    });
    child.once("exit", (code, signal) => {
      log.flush();
      const number = signal === null ? undefined : SIGNALS[signal];
      resolve(number === undefined ? { code: code ?? 137 } : { code: 128 + number, signal: number });
    });
  });
  return { exited, stop: (graceMs) => stopProcess(child, exited, graceMs) };
}

const SIGNALS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
};

/** The child leads a process group of its own, so its children get the signals too. */
function stopProcess(child: ChildProcess, exited: Promise<Exit>, graceMs: number): void {
  const { pid } = child;
  if (pid === undefined) return;
  const signalGroup = (signal: NodeJS.Signals) => {
    try {
      process.kill(-pid, signal);
    } catch {
      // Gone already.
    }
  };
  signalGroup("SIGTERM");
  const timer = setTimeout(() => signalGroup("SIGKILL"), Math.max(1, graceMs));
  void exited.then(() => clearTimeout(timer));
}
