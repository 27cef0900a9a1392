// SPDX-License-Identifier: Apache-2.0
import type { BpfMap } from "#kernel/bpf/map.ts";
import { errorText, WeftError } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import type { Prefix } from "#model/ip.ts";
import {
  changeList,
  type DeniedCidr,
  type DeniedCidrs,
  type PrefilterResult,
  readChange,
  some,
} from "./change.ts";
import { readListFile, writeListFile } from "./file.ts";
import { type Dropped, KernelPrefilter } from "./kernel.ts";
import { cutOff, type Needed } from "./lock-out.ts";

export interface PrefilterDeps {
  /** A map of the datapath by its name. */
  map(name: string): BpfMap;
  /** Where the list outlives the machine's restart. */
  readonly file: string;
  readonly log: Logger;
}

/** A denied prefix and what it has dropped. */
export type PrefilterRow = DeniedCidr & Dropped;

const none: Dropped = { packets: 0, bytes: 0 };
const part = "prefilter";

/** The CIDRs whose packets end at the node's device: the list, the file that keeps it, the kernel that enforces it. */
export class Prefilter {
  readonly #kernel: KernelPrefilter;
  readonly #deps: PrefilterDeps;
  #list: DeniedCidrs = new Map();
  /** What prefixes have dropped that are no more on the list: a counter never goes back. */
  #gone = { packets: 0, bytes: 0 };
  #unread: string | undefined;

  /** Puts the list of the file into force, where the kernel does not have it already. */
  constructor(deps: PrefilterDeps) {
    this.#deps = deps;
    this.#kernel = new KernelPrefilter((name) => deps.map(name));
    const inForce = this.#kernel.denied();
    try {
      this.#list = readListFile(deps.file);
    } catch (thrown) {
      this.#unread = errorText(thrown);
      deps.log.error(
        { error: this.#unread, denied: inForce.length },
        "what the kernel denies stays as it is",
      );
      this.#list = new Map(inForce.map((cidr) => [cidr, { cidr, addedSec: 0, comment: "" }]));
    }
    const same = inForce.length === this.#list.size && inForce.every((cidr) => this.#list.has(cidr));
    if (same) return;
    using prepared = this.#kernel.prepare(this.#list.keys());
    prepared.install();
  }

  get size(): number {
    return this.#list.size;
  }

  /** In the order of the list. */
  rows(): PrefilterRow[] {
    const drops = this.#kernel.drops();
    return Array.from(this.#list.values(), (row) => ({ ...row, ...(drops.get(row.cidr) ?? none) }));
  }

  /** Everything that was dropped since the node's maps were made, as far as this agent knows. */
  dropped(): Dropped {
    const sum = { ...this.#gone };
    for (const { packets, bytes } of this.#kernel.drops().values()) {
      sum.packets += packets;
      sum.bytes += bytes;
    }
    return sum;
  }

  /**
   * Changes the list, the file and the kernel, or none of them.
   * @param needed whom the node has to hear
   * @throws WeftError E_PREFILTER_REQUEST, E_CIDR, E_NOT_FOUND, E_TOO_MANY, E_LOCK_OUT, E_PREFILTER_FILE; KernelError
   */
  change(body: unknown, needed: readonly Needed[]): PrefilterResult {
    const change = readChange(body);
    const before = this.#list;
    const after = changeList(before, change, Math.floor(Date.now() / 1_000));
    const added = [...after.keys()].filter((cidr) => !before.has(cidr));
    const removed = [...before.keys()].filter((cidr) => !after.has(cidr));
    const warnings = cutOff(added, needed);
    if (warnings.length > 0 && !change.force)
      throw new WeftError("E_LOCK_OUT", `this would cut off ${some(warnings)}`, {
        hint: "nothing was changed; leave these out, or add --force if you mean it",
      });
    this.#replace(after, removed);
    const result = { added: added.length, removed: removed.length, total: after.size };
    if (added.length + removed.length > 0)
      this.#deps.log.info({ op: change.op, ...result, warnings }, "prefilter changed");
    const unchanged = change.prefixes.filter((cidr) => before.has(cidr) && after.has(cidr)).length;
    return { ...result, unchanged, warnings };
  }

  /** Says how it fares: whom the list cuts off that came after it, or was forced. */
  tell(health: Health, needed: readonly Needed[]): void {
    const cut = cutOff(this.#list.keys(), needed);
    if (this.#unread !== undefined) health.set(part, "degraded", this.#unread);
    else if (cut.length > 0) health.set(part, "degraded", `cuts off ${some(cut)}`);
    else health.set(part, "ok", this.size === 0 ? "denies nothing" : `denies ${this.size} CIDRs`);
  }

  /** The step that may fail for want of memory comes first, the one that takes force last. */
  #replace(after: DeniedCidrs, removed: readonly Prefix[]): void {
    using prepared = this.#kernel.prepare(after.keys());
    writeListFile(this.#deps.file, after);
    try {
      prepared.install();
    } catch (thrown) {
      writeListFile(this.#deps.file, this.#list);
      throw thrown;
    }
    this.#list = after;
    this.#unread = undefined;
    const drops = removed.length > 0 ? this.#kernel.drops() : new Map<Prefix, Dropped>();
    for (const cidr of removed) {
      const { packets, bytes } = drops.get(cidr) ?? none;
      this.#gone = { packets: this.#gone.packets + packets, bytes: this.#gone.bytes + bytes };
    }
    this.#kernel.forget(removed);
  }
}
