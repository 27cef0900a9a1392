// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createCgroup, removeCgroup } from "#kernel/cgroup.ts";
import { netnsPath } from "#kernel/netns.ts";
import { backoffMs } from "#lib/backoff.ts";
import { aborted, pause } from "#lib/clock.ts";
import { errorText } from "#lib/errors.ts";
import type { Container, Pod } from "../objects.ts";
import { podIsFinished } from "../objects.ts";
import { ContainerSlot } from "./container-slot.ts";
import type { KubeletContext } from "./context.ts";
import { etcFiles } from "./etc.ts";
import type { PodPlace } from "./pod-place.ts";
import { podStatus } from "./pod-status.ts";
import type { Sandbox } from "./sandbox.ts";

/** Longest a pod may take to stop, whatever it asks for. */
const MAX_GRACE_S = 600;

/** One pod on this node, from its binding to its end. */
export class PodWorker implements PodPlace {
  readonly uid: string;
  readonly init: readonly ContainerSlot[];
  readonly main: readonly ContainerSlot[];
  readonly #context: KubeletContext;
  readonly #stop = new AbortController();
  readonly #startTime: string;
  readonly #done: Promise<void>;
  #pod: Pod;
  #sandbox: Sandbox | undefined;
  #writing: Promise<void> | undefined;
  #written = "";
  #dirty = false;
  #deleting = false;

  /** `kept`: a sandbox of an earlier kubelet process that is still good. */
  constructor(context: KubeletContext, pod: Pod, kept?: Sandbox) {
    this.#context = context;
    this.#pod = pod;
    this.uid = pod.metadata.uid ?? "";
    this.#startTime = pod.status?.startTime ?? new Date().toISOString();
    this.#sandbox = kept;
    const slot = (initial: boolean) => (spec: Container, i: number) => {
      const first = !initial && i === 0;
      return new ContainerSlot({ context, spec, initial, first, place: this, onChange: () => this.#touch() });
    };
    this.init = (pod.spec.initContainers ?? []).map(slot(true));
    this.main = pod.spec.containers.map(slot(false));
    this.#done = this.#run();
  }

  get pod(): Pod {
    return this.#pod;
  }

  get sandbox(): Sandbox | undefined {
    return this.#sandbox;
  }

  /** Path of the network namespace its containers are in. */
  get netns(): string {
    return this.#pod.spec.hostNetwork ? this.#context.hostNetns : netnsPath(this.#sandbox?.netns ?? "");
  }

  get podIps(): readonly string[] {
    return this.#pod.spec.hostNetwork ? this.#context.plan.addresses : (this.#sandbox?.ips ?? []);
  }

  get cgroup(): string {
    return join(this.#context.cgroup, "pods", this.uid);
  }

  /** Directory with the pod's resolv.conf and hosts. */
  get etc(): string {
    return join(this.#context.plan.dir, "pods", this.uid);
  }

  get stopping(): AbortSignal {
    return this.#stop.signal;
  }

  container(name?: string): ContainerSlot | undefined {
    return name === undefined
      ? this.main[0]
      : [...this.main, ...this.init].find((slot) => slot.spec.name === name);
  }

  /** The object changed. */
  update(pod: Pod): void {
    this.#pod = pod;
    if (pod.metadata.deletionTimestamp && !this.#deleting) {
      this.#deleting = true;
      this.#stop.abort();
    }
  }

  /** The object is gone without waiting for us: stop at once. */
  vanish(): void {
    this.#deleting = true;
    this.#pod = { ...this.#pod, metadata: { ...this.#pod.metadata, deletionGracePeriodSeconds: 0 } };
    this.#stop.abort();
  }

  /** Resolves when nothing of the pod is left. */
  get done(): Promise<void> {
    return this.#done;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    try {
      if (podIsFinished(this.#pod)) await aborted(signal);
      else await this.#live(signal);
    } catch (thrown) {
      if (!signal.aborted)
        this.#context.log.error(
          { pod: this.#pod.metadata.name, err: errorText(thrown) },
          "pod worker failed",
        );
    }
    await this.#teardown();
  }

  async #live(signal: AbortSignal): Promise<void> {
    this.#touch();
    await this.#ensureSandbox(signal);
    if (signal.aborted) return;
    this.#prepare();
    this.#touch();
    for (const slot of this.init) {
      const done = await Promise.race([slot.initialize(signal), aborted(signal)]);
      if (done !== true) {
        this.#touch();
        await aborted(signal);
        return;
      }
    }
    await Promise.race([Promise.all(this.main.map((slot) => slot.run(signal))), aborted(signal)]);
    this.#touch();
    if (signal.aborted) return;
    // Every container has ended for good: sidecars end too, the sandbox is given back, the object stays.
    for (const slot of this.init) slot.stop(1000);
    await this.#writing;
    await this.#removeSandbox();
    await aborted(signal);
  }

  async #ensureSandbox(signal: AbortSignal): Promise<void> {
    if (this.#pod.spec.hostNetwork || this.#sandbox) return;
    for (let failures = 1; !signal.aborted; failures++) {
      try {
        this.#sandbox = await this.#context.sandboxes.create(this.#pod);
        return;
      } catch (thrown) {
        const text = `Failed to create pod sandbox: ${errorText(thrown)}`;
        this.#context.event(this.#pod, "Warning", "FailedCreatePodSandBox", text);
        await pause(backoffMs(failures, { minMs: 100, maxMs: 5_000 }), signal);
      }
    }
  }

  /** cgroup and files of the pod. */
  #prepare(): void {
    createCgroup(this.cgroup, "/");
    mkdirSync(this.etc, { recursive: true });
    const files = etcFiles(this.#pod, { ips: this.podIps, nameservers: this.#context.nameservers });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(this.etc, name), text);
  }

  async #teardown(): Promise<void> {
    const graceSec = Math.min(
      MAX_GRACE_S,
      this.#pod.metadata.deletionGracePeriodSeconds ?? this.#pod.spec.terminationGracePeriodSeconds ?? 30,
    );
    await Promise.all([...this.init, ...this.main].map((slot) => slot.end(graceSec * 1000)));
    await this.#writing;
    await this.#removeSandbox();
    await removeCgroup(this.cgroup).catch((thrown: unknown) => {
      this.#context.log.warn({ pod: this.#pod.metadata.name, err: errorText(thrown) }, "cgroup not removed");
    });
    rmSync(this.etc, { recursive: true, force: true });
    if (this.#deleting) await this.#context.finalize(this.#pod);
  }

  async #removeSandbox(): Promise<void> {
    for (let failures = 1; this.#sandbox; failures++) {
      try {
        await this.#context.sandboxes.remove(this.#sandbox);
        this.#sandbox = undefined;
      } catch (thrown) {
        const { log, signal } = this.#context;
        if (failures === 3)
          log.warn({ pod: this.#pod.metadata.name, err: errorText(thrown) }, "CNI DEL fails");
        if (signal.aborted) return;
        await pause(backoffMs(failures, { minMs: 100, maxMs: 5_000 }), signal);
      }
    }
  }

  /** Writes the status soon; writes do not overlap, and what changes meanwhile is in the next one. */
  #touch(): void {
    this.#dirty = true;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
      if (this.#dirty) this.#touch();
    });
  }

  async #write(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#dirty = false;
    if (podIsFinished(this.#pod)) return;
    const view = {
      pod: this.#pod,
      startTime: this.#startTime,
      hostIps: this.#context.plan.addresses,
      podIps: this.podIps,
      sandboxReady: this.#sandbox !== undefined || this.#pod.spec.hostNetwork === true,
      init: this.init.map((slot) => slot.view()),
      main: this.main.map((slot) => slot.view()),
    };
    const status = podStatus(view, new Date().toISOString());
    const text = JSON.stringify(status);
    if (text === this.#written) return;
    try {
      await this.#context.writeStatus(this.#pod, status);
      this.#written = text;
    } catch (thrown) {
      if (this.#deleting) return;
      this.#context.log.warn(
        { pod: this.#pod.metadata.name, err: errorText(thrown) },
        "status not written, will try again",
      );
      this.#dirty = true;
      await pause(500, this.#context.signal);
    }
  }
}
