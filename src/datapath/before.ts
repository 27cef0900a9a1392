// SPDX-License-Identifier: Apache-2.0
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import * as z from "zod";
import { readSysctl, writeSysctl } from "#kernel/sysctl.ts";
import { errorText } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";

/** How the node was before an agent changed it, for a clean-up that leaves it so. */
const schema = z.object({
  version: z.literal(1),
  /** A reboot undoes what was changed: what is noted from before it says nothing. */
  boot: z.string(),
  sysctls: z.record(z.string(), z.string()),
  /** The bpffs is one of ours. */
  bpffs: z.boolean(),
});

export type Before = Readonly<z.infer<typeof schema>>;

/** What changes from one start of the machine to the next. */
export function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

/** What was noted since the machine started; undefined: nothing, or it can't be read. */
export function readBefore(file: string): Before | undefined {
  try {
    const before = schema.parse(JSON.parse(readFileSync(file, "utf8")));
    return before.boot === bootId() ? before : undefined;
  } catch {
    return undefined;
  }
}

/** Notes each thing once, when it is changed for the first time; later agents find it noted. */
export class BeforeRecord {
  readonly #file: string;
  readonly #log: Logger;
  #before: Before;

  constructor(file: string, log: Logger) {
    this.#file = file;
    this.#log = log;
    this.#before = readBefore(file) ?? { version: 1, boot: bootId(), sysctls: {}, bpffs: false };
  }

  sysctl(name: string, value: string): void {
    if (Object.hasOwn(this.#before.sysctls, name)) return;
    this.#keep({ ...this.#before, sysctls: { ...this.#before.sysctls, [name]: value } });
  }

  bpffs(): void {
    if (!this.#before.bpffs) this.#keep({ ...this.#before, bpffs: true });
  }

  #keep(before: Before): void {
    this.#before = before;
    try {
      writeFileSync(`${this.#file}.new`, JSON.stringify(before), { mode: 0o600 });
      renameSync(`${this.#file}.new`, this.#file);
    } catch (error) {
      rmSync(`${this.#file}.new`, { force: true });
      this.#log.warn(
        { file: this.#file, error: errorText(error) },
        "what the node was like before can't be noted: a clean-up will not put it back",
      );
    }
  }
}

const reservedPorts = "net.ipv4.ip_local_reserved_ports";

/**
 * Puts kernel parameters back. Of the reserved ports only our range goes: others may have added theirs. Returns what was changed, a line each.
 * @throws WeftError E_SYSCTL
 */
export function restoreSysctls(
  before: Pick<Before, "sysctls">,
  natPorts: { readonly min: number; readonly max: number },
): string[] {
  const changed: string[] = [];
  for (const [name, value] of Object.entries(before.sysctls)) {
    const now = readSysctl(name);
    const wanted = name === reservedPorts ? withoutRange(now, `${natPorts.min}-${natPorts.max}`) : value;
    if (now === wanted) continue;
    writeSysctl(name, wanted);
    changed.push(`kernel parameter ${name}: ${now || "(none)"} → ${wanted || "(none)"}`);
  }
  return changed;
}

function withoutRange(list: string, range: string): string {
  return list
    .split(",")
    .filter((part) => part !== range)
    .join(",");
}
