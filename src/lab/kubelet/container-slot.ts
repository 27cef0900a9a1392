// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { backoffMs } from "#lib/backoff.ts";
import { pause } from "#lib/clock.ts";
import { errorText } from "#lib/errors.ts";
import { type Play, playOf } from "../image-map.ts";
import type { Container, ContainerState } from "../objects.ts";
import { podCommand, podPath } from "../pod-command.ts";
import type { PlayedPort } from "../stand-in/ports.ts";
import { type Exit, type RunningContainer, startContainer } from "./container.ts";
import type { KubeletContext } from "./context.ts";
import { containerEnv } from "./env.ts";
import { LogBuffer } from "./log-buffer.ts";
import type { PodPlace } from "./pod-place.ts";
import type { ContainerView } from "./pod-status.ts";
import { startProbeLoop } from "./probes.ts";

export interface SlotOptions {
  readonly context: KubeletContext;
  readonly spec: Container;
  /** An init container. */
  readonly initial: boolean;
  /** The pod's first container: it answers on the ports Services lead to. */
  readonly first: boolean;
  readonly place: PodPlace;
  onChange(): void;
}

/** A crash more than this after the start counts as the first one. */
const STABLE_MS = 60_000;

/** One container of a pod through all its restarts. */
export class ContainerSlot {
  readonly spec: Container;
  readonly #options: SlotOptions;
  #state: ContainerState = { waiting: { reason: "ContainerCreating" } };
  #lastState: ContainerState = {};
  #id: string | undefined;
  #restarts = 0;
  #started = false;
  #ready = false;
  #final = false;
  #running: RunningContainer | undefined;
  #log = new LogBuffer();
  #previousLog: LogBuffer | undefined;
  #env: Record<string, string> = {};
  #play: Play = { kind: "stand-in" };

  constructor(options: SlotOptions) {
    this.#options = options;
    this.spec = options.spec;
    if (options.initial || (options.place.pod.spec.initContainers ?? []).length > 0) {
      this.#state = { waiting: { reason: "PodInitializing" } };
    }
  }

  /** What the present run wrote, and what the one before did. */
  get log(): LogBuffer {
    return this.#log;
  }

  get previousLog(): LogBuffer | undefined {
    return this.#previousLog;
  }

  get env(): Readonly<Record<string, string>> {
    return this.#env;
  }

  get play(): Play {
    return this.#play;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  view(): ContainerView {
    return {
      spec: this.spec,
      id: this.#id,
      state: this.#state,
      lastState: this.#lastState,
      restarts: this.#restarts,
      started: this.#started,
      ready: this.#ready,
      final: this.#final,
    };
  }

  stop(graceMs: number): void {
    this.#running?.stop(graceMs);
  }

  /** Ports a stand-in shall answer on beside its own. */
  listen(ports: readonly PlayedPort[]): void {
    this.#running?.listen?.(ports);
  }

  /** Stops it, after the time its preStop hook sleeps, and waits until it is gone. */
  async end(graceMs: number): Promise<void> {
    const running = this.#running;
    if (!running) return;
    const sleepMs = Math.min(graceMs, 1000 * (this.spec.lifecycle?.preStop?.sleep?.seconds ?? 0));
    if (sleepMs > 0) await Promise.race([pause(sleepMs, this.#options.context.signal), running.exited]);
    running.stop(graceMs - sleepMs);
    await running.exited;
  }

  /** An init container: resolves with true when it is done (a sidecar: when it has started), false when the pod has failed. */
  async initialize(signal: AbortSignal): Promise<boolean> {
    if (this.spec.restartPolicy === "Always") {
      void this.run(signal);
      while (!this.#started && !signal.aborted) await pause(50, signal);
      return !signal.aborted;
    }
    await this.run(signal);
    return this.#state.terminated?.exitCode === 0;
  }

  /** Runs it, again and again as the restart policy says; resolves when it has ended for good or the pod stops. */
  async run(signal: AbortSignal): Promise<void> {
    for (let crashes = 0; !signal.aborted; ) {
      const startMs = Date.now();
      const exit = await this.#once(signal);
      if (!this.#again(exit)) {
        this.#final = true;
        break;
      }
      if (signal.aborted) break;
      crashes = Date.now() - startMs > STABLE_MS ? 1 : crashes + 1;
      await this.#backOff(crashes, signal);
    }
    this.#options.onChange();
  }

  #again(exit: Exit | undefined): boolean {
    const { place, initial } = this.#options;
    const policy =
      this.spec.restartPolicy === "Always" ? "Always" : (place.pod.spec.restartPolicy ?? "Always");
    if (exit === undefined) return true;
    if (initial && this.spec.restartPolicy !== "Always") return exit.code !== 0 && policy !== "Never";
    return policy === "Always" || (policy === "OnFailure" && exit.code !== 0);
  }

  async #backOff(crashes: number, signal: AbortSignal): Promise<void> {
    this.#lastState = this.#state;
    if (crashes > 1) {
      const { context, place } = this.#options;
      const message = `back-off restarting failed container ${this.spec.name}`;
      this.#state = { waiting: { reason: "CrashLoopBackOff", message } };
      context.event(place.pod, "Warning", "BackOff", message);
      this.#options.onChange();
      await pause(backoffMs(crashes - 1, { minMs: 1_000, maxMs: 60_000 }), signal);
    } else await pause(100, signal);
    this.#restarts++;
  }

  /** One life. undefined: it could not be made. */
  async #once(signal: AbortSignal): Promise<Exit | undefined> {
    const { context, place } = this.#options;
    try {
      this.#play = playOf(context.images, this.spec);
      this.#env = await containerEnv(place.pod, this.spec, context.envSources(place));
    } catch (thrown) {
      this.#state = { waiting: { reason: "CreateContainerConfigError", message: errorText(thrown) } };
      context.event(place.pod, "Warning", "Failed", errorText(thrown));
      this.#options.onChange();
      await pause(2_000, signal);
      return undefined;
    }
    if (signal.aborted) return undefined;
    if (this.#id !== undefined) {
      this.#previousLog = this.#log;
      this.#log = new LogBuffer();
    }
    const startedAt = new Date().toISOString();
    const life = new AbortController();
    this.#id = `weft://${randomBytes(32).toString("hex")}`;
    this.#running = startContainer(context.runtime, {
      pod: place.pod,
      container: this.spec,
      play: this.#play,
      env: this.#env,
      log: this.log,
      netns: place.netns,
      cgroup: place.cgroup,
      nameserver: context.nameservers[0] ?? "",
      etc: place.etc,
      once: this.#options.initial && this.spec.restartPolicy !== "Always",
    });
    this.#state = { running: { startedAt } };
    if (this.#options.first) this.listen(context.servicePorts(place.pod));
    this.#startProbes(life.signal);
    this.#options.onChange();
    const exit = await this.#running.exited;
    life.abort();
    this.#log.end();
    this.#running = undefined;
    [this.#started, this.#ready] = [false, false];
    const reason = exit.code === 0 ? "Completed" : "Error";
    const finishedAt = new Date().toISOString();
    this.#state = {
      terminated: {
        exitCode: exit.code,
        reason,
        startedAt,
        finishedAt,
        ...(this.#id && { containerID: this.#id }),
      },
    };
    if (exit.signal !== undefined) this.#state.terminated!.signal = exit.signal;
    this.#options.onChange();
    return exit;
  }

  #startProbes(signal: AbortSignal): void {
    const { startupProbe } = this.spec;
    if (!startupProbe) {
      this.#onStarted(signal);
      return;
    }
    const started = new AbortController();
    this.#loop("startup", AbortSignal.any([signal, started.signal]), (ok, message) => {
      if (!ok) return this.#fail("Startup", message);
      started.abort();
      this.#onStarted(signal);
    });
  }

  #onStarted(signal: AbortSignal): void {
    this.#started = true;
    this.#ready = this.spec.readinessProbe === undefined;
    this.#options.onChange();
    this.#loop("readiness", signal, (ok, message) => {
      this.#ready = ok;
      const { context, place } = this.#options;
      if (!ok) context.event(place.pod, "Warning", "Unhealthy", `Readiness probe failed: ${message}`);
      this.#options.onChange();
    });
    this.#loop("liveness", signal, (ok, message) => {
      if (!ok) this.#fail("Liveness", message);
    });
  }

  #fail(which: string, message: string): void {
    const { context, place } = this.#options;
    context.event(place.pod, "Warning", "Unhealthy", `${which} probe failed: ${message}`);
    this.stop((place.pod.spec.terminationGracePeriodSeconds ?? 30) * 1000);
  }

  #loop(
    which: "startup" | "readiness" | "liveness",
    signal: AbortSignal,
    onVerdict: (ok: boolean, message: string) => void,
  ): void {
    const probe = this.spec[`${which}Probe`];
    if (!probe) return;
    const ip = this.#options.place.podIps[0] ?? "127.0.0.1";
    startProbeLoop({
      probe,
      signal,
      onVerdict,
      initially: which === "liveness",
      skipDelay: this.#play.kind === "stand-in",
      target: { ip, container: this.spec, exec: (command, timeoutMs) => this.exec(command, timeoutMs) },
    });
  }

  /** Runs a command beside the container and waits for its exit code; a stand-in has none of the commands, and none fails. */
  exec(argv: readonly string[], timeoutMs: number): Promise<number> {
    if (this.#play.kind === "stand-in" || argv.length === 0) return Promise.resolve(0);
    const { place } = this.#options;
    const { file, args } = podCommand({ ...this.command(argv), etc: place.etc });
    const env = { PATH: podPath(), ...this.#play.env, ...this.#env };
    return new Promise((resolve) => {
      execFile(
        file,
        args,
        { env, timeout: timeoutMs, killSignal: "SIGKILL", maxBuffer: 1 << 20 },
        (error) => {
          if (!error) resolve(0);
          else resolve(typeof error.code === "number" ? error.code : 137);
        },
      );
    });
  }

  /** How a further command is run in this container. */
  command(argv: readonly string[]) {
    const { place } = this.#options;
    return {
      netns: place.netns,
      cgroup: place.cgroup,
      root: this.#play.kind === "process" ? this.#play.root : undefined,
      cwd: this.#play.kind === "process" ? this.spec.workingDir : undefined,
      hostname: place.pod.spec.hostname ?? place.pod.metadata.name,
      argv,
    };
  }
}
