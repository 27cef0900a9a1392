// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { errorText, WeftError } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import { type Address, parseAddress } from "#model/ip.ts";
import { labelList, parseLabels } from "#model/labels.ts";
import type { Endpoint } from "./endpoint.ts";

const address = z.string().transform((text): Address => parseAddress(text));

const schema = z.object({
  version: z.literal(1),
  id: z.number().int().min(1).max(65535),
  namespace: z.string(),
  pod: z.string(),
  podUid: z.string(),
  containerId: z.string(),
  ifname: z.string(),
  netns: z.string(),
  hostIfname: z.string(),
  hostIfindex: z.number().int(),
  mac: z.string(),
  hostMac: z.string(),
  v4: address.exactOptional(),
  v6: address.exactOptional(),
  labels: z.array(z.string()),
  identity: z.number().int(),
  staticUid: z.string().exactOptional(),
  audit: z.literal(true).exactOptional(),
  anySource: z.literal(true).exactOptional(),
  sockmap: z.boolean().exactOptional(),
  namedPorts: z.array(z.object({ name: z.string(), port: z.number(), proto: z.number() })),
});

/** Endpoints on disk, one file each: what an agent that comes back knows before it has asked anybody. */
export class EndpointState {
  readonly #dir: string;
  readonly #log: Logger;

  constructor(dir: string, log: Logger) {
    this.#dir = dir;
    this.#log = log;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }

  /** All of it or nothing. @throws WeftError E_STATE, as when the disk is full */
  save(endpoint: Endpoint): void {
    const path = this.#path(endpoint.id);
    const text = JSON.stringify({ version: 1, ...endpoint, labels: labelList(endpoint.labels) });
    try {
      writeFileSync(`${path}.new`, text, { mode: 0o600 });
      renameSync(`${path}.new`, path);
    } catch (cause) {
      rmSync(`${path}.new`, { force: true, recursive: true });
      throw new WeftError(
        "E_STATE",
        `endpoint ${endpoint.id} cannot be saved in ${this.#dir}: ${errorText(cause)}`,
        {
          cause,
          hint: "free space on that file system; the kubelet tries again by itself",
        },
      );
    }
  }

  remove(id: number): void {
    rmSync(this.#path(id), { force: true });
  }

  /** A file that can't be read is reported and left out: its pod gets no network until it is made again. */
  load(): Endpoint[] {
    const found: Endpoint[] = [];
    for (const name of readdirSync(this.#dir)) {
      if (!name.endsWith(".json")) continue;
      try {
        const {
          version: _,
          labels,
          ...rest
        } = schema.parse(JSON.parse(readFileSync(join(this.#dir, name), "utf8")));
        found.push({ ...rest, labels: parseLabels(labels) });
      } catch (error) {
        this.#log.error({ file: name, error: String(error) }, "endpoint file can't be read");
      }
    }
    return found;
  }

  #path(id: number): string {
    return join(this.#dir, `${id}.json`);
  }
}
