// SPDX-License-Identifier: Apache-2.0
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { hasErrno } from "#kernel/errno.ts";
import type { Netlink } from "#kernel/netlink/handle.ts";
import { listLinks } from "#kernel/netlink/link.ts";
import { errorText } from "#lib/errors.ts";
import type { CniCommands } from "./commands.ts";
import { type CniDeps, ownerOf } from "./deps.ts";
import type { Attachment } from "./request.ts";

const defaultEveryMs = 60_000;

export interface HousekeepingOptions {
  readonly deps: CniDeps;
  readonly commands: CniCommands;
  readonly netlink: Netlink;
  /** Where the shim notes the DELs that no agent answered: an empty file `CONTAINER:IFNAME` each. */
  readonly deletionsDir: string;
  /** How often what nobody told us is looked for. Default 60 s. */
  readonly everyMs?: number | undefined;
}

/**
 * Makes up for the DELs that came while no agent answered, now and once a minute (a shim that found nobody may write its note a moment later), and
 * gives up endpoints whose device is gone: a runtime that was killed never tells.
 */
export function startHousekeeping(options: HousekeepingOptions): AsyncDisposable {
  const gone = new Set<string>();
  let running: Promise<void> | undefined;
  const round = () => {
    running ??= (async () => {
      await makeUpDeletions(options);
      await collectGone(options, gone);
    })().finally(() => {
      running = undefined;
    });
    // Its parts report their own failures.
    running.catch(() => {});
  };
  round();
  const timer = setInterval(round, options.everyMs ?? defaultEveryMs);
  timer.unref();
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await running;
    },
  };
}

async function makeUpDeletions({ deletionsDir, commands, deps }: HousekeepingOptions): Promise<void> {
  const { log } = deps;
  let done = 0;
  for (const name of notesIn(deletionsDir)) {
    const attachment = attachmentOfNote(name);
    try {
      if (attachment !== undefined) await commands.delete(attachment);
      rmSync(join(deletionsDir, name), { force: true });
      done++;
    } catch (error) {
      log.warn(
        { note: name, error: errorText(error) },
        "a noted deletion failed, it is tried again in a minute",
      );
    }
  }
  if (done > 0) log.info({ count: done }, "made up for the deletions that came while no agent answered");
}

function notesIn(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return [];
    throw error;
  }
}

/** Neither part can hold a colon. Undefined for a file that is no note. */
function attachmentOfNote(name: string): Attachment | undefined {
  const [containerId, ifname, ...more] = name.split(":");
  return containerId && ifname && more.length === 0 ? { containerId, ifname } : undefined;
}

/** Endpoints without their device for two rounds, and no command under way that might be at it. `gone` holds those of the round before. */
async function collectGone(
  { deps, commands, netlink }: HousekeepingOptions,
  gone: Set<string>,
): Promise<void> {
  const { endpoints, log } = deps;
  const links = new Map(listLinks(netlink).map(({ name, index }) => [name, index]));
  const before = new Set(gone);
  gone.clear();
  for (const endpoint of [...endpoints.list()]) {
    const owner = ownerOf(endpoint);
    if (links.get(endpoint.hostIfname) === endpoint.hostIfindex || commands.busy.has(owner)) continue;
    if (!before.has(owner)) {
      gone.add(owner);
      continue;
    }
    await commands.delete(endpoint);
    log.info(
      { endpoint: endpoint.id, pod: `${endpoint.namespace}/${endpoint.pod}`, device: endpoint.hostIfname },
      "endpoint's device is gone and the runtime never said so: endpoint given up",
    );
  }
}
