// SPDX-License-Identifier: Apache-2.0
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import * as z from "zod";
import { WeftError } from "#lib/errors.ts";
import type { DeniedCidrs } from "./change.ts";
import { parseCidr } from "./cidrs.ts";

const schema = z.object({
  version: z.literal(1),
  cidrs: z.array(z.object({ cidr: z.string(), addedSec: z.number(), comment: z.string() })),
});

/** The list as it was last written; empty where there is no file. @throws WeftError E_PREFILTER_FILE for one that can't be read */
export function readListFile(path: string): DeniedCidrs {
  if (!existsSync(path)) return new Map();
  try {
    const { cidrs } = schema.parse(JSON.parse(readFileSync(path, "utf8")));
    return new Map(cidrs.map((row) => [parseCidr(row.cidr), { ...row, cidr: parseCidr(row.cidr) }]));
  } catch (cause) {
    throw new WeftError("E_PREFILTER_FILE", `the list of denied CIDRs in ${path} can't be read`, {
      cause,
      hint: "what the kernel has stays in force; `weft prefilter replace` or `flush` writes the file anew",
    });
  }
}

/** All of the list or none of it, also when the machine stops in between. @throws WeftError E_PREFILTER_FILE */
export function writeListFile(path: string, list: DeniedCidrs): void {
  const draft = `${path}.new`;
  try {
    const fd = openSync(draft, "w", 0o600);
    try {
      writeFileSync(fd, JSON.stringify({ version: 1, cidrs: [...list.values()] }));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(draft, path);
    syncDirectory(dirname(path));
  } catch (cause) {
    rmSync(draft, { force: true });
    throw new WeftError("E_PREFILTER_FILE", `the list of denied CIDRs can't be written to ${path}`, {
      cause,
      hint: "nothing was changed; is there room, and may the agent write there?",
    });
  }
}

function syncDirectory(dir: string): void {
  const fd = openSync(dir, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
