// SPDX-License-Identifier: Apache-2.0
import type { Netlink } from "#kernel/netlink/handle.ts";
import { add } from "./add.ts";
import { check } from "./check.ts";
import { del, gc } from "./del.ts";
import { type CniDeps, ownerOf } from "./deps.ts";
import { CniError } from "./errors.ts";
import { type Attachment, CNI_VERSIONS, type CniRequest } from "./request.ts";

/** How long an ADD may wait for the API server, identity and policy. */
const ADD_TIMEOUT_MS = 60_000;

interface Running {
  readonly command: "ADD" | "DEL";
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

/** Executes requests; per attachment one at a time. */
export class CniCommands {
  readonly #deps: CniDeps;
  readonly #netlink: Netlink;
  readonly #running = new Map<string, Running>();

  constructor(deps: CniDeps, netlink: Netlink) {
    this.#deps = deps;
    this.#netlink = netlink;
  }

  /** Owners with a command under way. */
  get busy(): ReadonlySet<string> {
    return new Set(this.#running.keys());
  }

  /** The object for stdout; undefined: nothing is printed. `signal` ends an ADD and undoes it. @throws CniError and others */
  async execute(request: CniRequest, signal: AbortSignal): Promise<Record<string, unknown> | undefined> {
    const { cniVersion } = request;
    switch (request.command) {
      case "ADD":
        return await this.#add(request, signal);
      case "DEL":
        await this.delete(request);
        return undefined;
      case "CHECK":
        check(this.#deps, this.#netlink, request);
        return undefined;
      case "GC":
        await gc(this.#deps, this.#netlink, request, () => this.busy);
        return undefined;
      case "STATUS": {
        const reason = this.#deps.notReady();
        if (reason !== undefined) throw new CniError("notAvailable", `no pod can be attached: ${reason}`);
        return undefined;
      }
      case "VERSION":
        return { cniVersion, supportedVersions: CNI_VERSIONS };
    }
  }

  /** Interrupts every ADD and waits until all are undone. */
  async stop(): Promise<void> {
    const running = [...this.#running.values()];
    for (const { abort } of running)
      abort.abort(new CniError("tryAgain", "try again later: the agent stops"));
    await Promise.all(running.map(({ done }) => done));
  }

  async #add(request: CniRequest, signal: AbortSignal): Promise<Record<string, unknown>> {
    const owner = ownerOf(request);
    const other = this.#running.get(owner);
    if (other !== undefined) {
      throw new CniError("tryAgain", `try again later: ${other.command} of ${owner} is still running`);
    }
    return await this.#run("ADD", owner, async (own) => {
      const all = AbortSignal.any([signal, own, AbortSignal.timeout(ADD_TIMEOUT_MS)]);
      return await add(this.#deps, this.#netlink, request, all);
    });
  }

  /** CNI DEL. An ADD that still runs is interrupted first: the runtime has given it up. */
  async delete(attachment: Attachment): Promise<void> {
    const owner = ownerOf(attachment);
    for (let other = this.#running.get(owner); other !== undefined; other = this.#running.get(owner)) {
      if (other.command === "ADD")
        other.abort.abort(new CniError("tryAgain", "DEL came before ADD was done"));
      await other.done;
    }
    await this.#run("DEL", owner, () => del(this.#deps, attachment));
  }

  async #run<T>(command: "ADD" | "DEL", owner: string, fn: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const abort = new AbortController();
    const { promise: done, resolve } = Promise.withResolvers<void>();
    this.#running.set(owner, { command, abort, done });
    try {
      return await fn(abort.signal);
    } finally {
      this.#running.delete(owner);
      resolve();
    }
  }
}
