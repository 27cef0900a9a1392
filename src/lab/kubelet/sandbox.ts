// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { setLink } from "#kernel/netlink/link.ts";
import { createNetns, deleteNetns, netnsPath } from "#kernel/netns.ts";
import { backoffMs } from "#lib/backoff.ts";
import { pause } from "#lib/clock.ts";
import { WeftError } from "#lib/errors.ts";
import { type Address, parseAddress } from "#model/ip.ts";
import { POD_NETNS_PREFIX } from "../layout.ts";
import type { Pod } from "../objects.ts";
import {
  type Attachment,
  CniError,
  type CniResult,
  type CniRuntime,
  cniAdd,
  cniCheck,
  cniDel,
  loadConfList,
} from "./cni.ts";

/** A pod's network namespace with its attachment; kept as a file, so that the next kubelet process finds it. */
export interface Sandbox {
  readonly id: string;
  readonly uid: string;
  readonly namespace: string;
  readonly pod: string;
  /** Name in /run/netns. */
  readonly netns: string;
  readonly result: CniResult;
  readonly ips: readonly Address[];
}

export interface Sandboxes {
  /** @throws WeftError E_CNI; nothing is left behind then */
  create(pod: Pod): Promise<Sandbox>;
  /** Takes the attachment and the namespace away; safe to repeat. */
  remove(sandbox: Sandbox): Promise<void>;
  /** What earlier processes left. */
  list(): Sandbox[];
  /** True when the attachment is as ADD made it: the pod can keep it. Waits for an agent that is not there to be asked. */
  isIntact(sandbox: Sandbox, signal: AbortSignal): Promise<boolean>;
  attachment(sandbox: Sandbox): Attachment;
}

const IFNAME = "eth0";
/** "Try again later", and the two of STATUS. */
const NOT_NOW: ReadonlySet<number> = new Set([11, 50, 51]);

/** `dir`: where the records are. */
export function createSandboxes(runtime: CniRuntime, dir: string): Sandboxes {
  mkdirSync(dir, { recursive: true });
  const attachment = (sandbox: Pick<Sandbox, "id" | "uid" | "namespace" | "pod" | "netns">): Attachment => ({
    containerId: sandbox.id,
    netns: netnsPath(sandbox.netns),
    ifname: IFNAME,
    namespace: sandbox.namespace,
    pod: sandbox.pod,
    uid: sandbox.uid,
  });
  return {
    attachment,
    async create(pod) {
      const list = await loadConfList(runtime.confDir);
      if (!list)
        throw new WeftError("E_CNI", `no CNI configuration in ${runtime.confDir}: the agent is not ready`);
      const id = randomBytes(32).toString("hex");
      const { name, namespace = "default", uid = "" } = pod.metadata;
      const netns = `${POD_NETNS_PREFIX}${name.slice(0, 180)}-${id.slice(0, 5)}`;
      const path = createNetns(netns);
      try {
        using netlink = openNetlink({ netns: path });
        setLink(netlink, "lo", { up: true });
        const result = await cniAdd(runtime, list, attachment({ id, uid, namespace, pod: name, netns }));
        const ips = (result.ips ?? []).map(({ address }) => parseAddress(address.split("/")[0] ?? ""));
        if (ips.length === 0) throw new WeftError("E_CNI", `CNI ADD of ${namespace}/${name} gave no address`);
        const sandbox = { id, uid, namespace, pod: name, netns, result, ips };
        writeFileSync(join(dir, `${id}.json`), JSON.stringify(sandbox));
        return sandbox;
      } catch (thrown) {
        deleteNetns(netns);
        throw thrown;
      }
    },
    async remove(sandbox) {
      const list = await loadConfList(runtime.confDir);
      if (list) await cniDel(runtime, list, attachment(sandbox), sandbox.result);
      deleteNetns(sandbox.netns);
      rmSync(join(dir, `${sandbox.id}.json`), { force: true });
    },
    list() {
      return readdirSync(dir).flatMap((file) => {
        try {
          return [JSON.parse(readFileSync(join(dir, file), "utf8")) as Sandbox];
        } catch {
          return [];
        }
      });
    },
    async isIntact(sandbox, signal) {
      for (let failures = 1; !signal.aborted; failures++) {
        try {
          const list = await loadConfList(runtime.confDir);
          if (!list) return false;
          await cniCheck(runtime, list, attachment(sandbox), sandbox.result);
          return true;
        } catch (thrown) {
          if (!(thrown instanceof CniError && thrown.plugin !== undefined && NOT_NOW.has(thrown.plugin)))
            return false;
          await pause(backoffMs(failures, { minMs: 50, maxMs: 2_000 }), signal);
        }
      }
      return true;
    },
  };
}
