// SPDX-License-Identifier: Apache-2.0

import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { createGzip } from "node:zlib";
import { errorText, WeftError } from "#lib/errors.ts";
import { inParallel } from "../limit.ts";
import { redactObject, redactText } from "./redact.ts";
import { tarEnd, tarEntry } from "./tar.ts";

/** One file of the dump. A text is kept as it is, anything else as JSON; both without secrets. */
export interface Item {
  readonly path: string;
  read(signal: AbortSignal): Promise<unknown>;
}

/** Several files that are read together. */
export interface Group {
  /** For progress and, when it fails as a whole, for the index. */
  readonly name: string;
  read(signal: AbortSignal): Promise<readonly { readonly path: string; readonly content: unknown }[]>;
}

export interface IndexEntry {
  readonly path: string;
  readonly bytes?: number;
  readonly ms: number;
  readonly error?: string;
  /** Only its end is kept, as it is longer than a file may be. */
  readonly cut?: true;
}

export interface DumpOptions {
  readonly file: string;
  /** Folder in the archive. */
  readonly folder: string;
  readonly groups: readonly Group[];
  readonly signal: AbortSignal;
  readonly maxFileBytes: number;
  readonly maxBytes: number;
  /** For one group. */
  readonly groupMs: number;
  progress(done: number, of: number, name: string): void;
}

const atOnce = 4;

export function single({ path, read }: Item): Group {
  return { name: path, read: async (signal) => [{ path, content: await read(signal) }] };
}

/**
 * Writes everything into one compressed archive. What fails is left out and stands in `index.json`; when time or room is up, so does the
 * rest. The file appears whole or not at all.
 * @throws WeftError E_SYSDUMP when the file cannot be written
 */
export async function writeDump(options: DumpOptions): Promise<IndexEntry[]> {
  const { file, folder, groups, signal, maxFileBytes, maxBytes, groupMs, progress } = options;
  const temporary = `${file}.part`;
  const gzip = createGzip();
  const out = createWriteStream(temporary, { mode: 0o600 });
  const written = Promise.withResolvers<void>();
  out.once("error", written.reject).once("close", () => written.resolve());
  written.promise.catch(() => {});
  gzip.pipe(out);
  const nowSec = Math.floor(Date.now() / 1000);
  const index: IndexEntry[] = [];
  let total = 0;
  let done = 0;
  const put = async (path: string, data: Buffer) => {
    total += data.length;
    if (!gzip.write(tarEntry(`${folder}/${path}`, data, nowSec))) await once(gzip, "drain");
  };
  const one = async (group: Group) => {
    const startMs = Date.now();
    try {
      signal.throwIfAborted();
      if (total > maxBytes) throw new WeftError("E_SYSDUMP", `the dump already has ${maxBytes} bytes`);
      const files = await group.read(AbortSignal.any([signal, AbortSignal.timeout(groupMs)]));
      for (const { path, content } of files) {
        const whole = Buffer.from(textOf(content));
        const cut = whole.length > maxFileBytes;
        const data = cut ? whole.subarray(whole.length - maxFileBytes) : whole;
        await put(path, data);
        index.push({ path, bytes: data.length, ms: Date.now() - startMs, ...(cut && { cut }) });
      }
    } catch (thrown) {
      index.push({ path: group.name, ms: Date.now() - startMs, error: redactText(errorText(thrown)) });
    }
    progress(++done, groups.length, group.name);
  };
  try {
    await inParallel(groups, atOnce, one);
    index.sort((a, b) => a.path.localeCompare(b.path));
    await put("index.json", Buffer.from(`${JSON.stringify(index, null, 2)}\n`));
    gzip.end(tarEnd);
    await written.promise;
    await rename(temporary, file);
    return index;
  } catch (cause) {
    await rm(temporary, { force: true });
    throw new WeftError("E_SYSDUMP", `cannot write ${file}`, { cause });
  }
}

function textOf(content: unknown): string {
  if (typeof content === "string") return redactText(content);
  return `${JSON.stringify(redactObject(content), null, 1)}\n`;
}
