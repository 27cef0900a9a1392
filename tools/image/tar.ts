// SPDX-License-Identifier: Apache-2.0
// The tar format (POSIX ustar with pax records; GNU long names when read), as much of it as images and Debian packages use.
import { type Entry, sorted, type Tree } from "./tree.ts";

const block = 512;
const types = { file: "0", link: "2", dir: "5" } as const;

/** A tar archive of the tree: sorted, owned by root, every time `seconds` since 1970. The same tree gives the same bytes. */
export function writeTar(tree: Tree, seconds = 0): Buffer {
  const parts: Buffer[] = [];
  for (const [path, entry] of sorted(tree)) {
    const name = entry.type === "dir" ? `${path}/` : path;
    const target = entry.type === "link" ? entry.target : "";
    const records = paxRecords({ path: name, linkpath: target });
    if (records.length > 0) {
      parts.push(
        header({ name: "pax", type: "x", mode: 0o644, size: records.length, seconds }),
        padded(records),
      );
    }
    const data = entry.type === "file" ? entry.data : Buffer.alloc(0);
    const mode = entry.type === "link" ? 0o777 : entry.mode;
    parts.push(
      header({ name, target, type: types[entry.type], mode, size: data.length, seconds }),
      padded(data),
    );
  }
  parts.push(Buffer.alloc(2 * block));
  return Buffer.concat(parts);
}

interface HeaderFields {
  readonly name: string;
  readonly type: string;
  readonly mode: number;
  readonly size: number;
  readonly seconds: number;
  readonly target?: string;
}

/** What does not fit its 100 bytes is cut here: a pax record before it says the whole. */
function header({ name, type, mode, size, seconds, target = "" }: HeaderFields): Buffer {
  const bytes = Buffer.alloc(block);
  const octal = (value: number, at: number, length: number) =>
    bytes.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at, "latin1");
  bytes.write(name, 0, 100);
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(seconds, 136, 12);
  bytes.write("        ", 148, "latin1");
  bytes.write(type, 156, "latin1");
  bytes.write(target, 157, 100);
  bytes.write("ustar\x0000", 257, "latin1");
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return bytes;
}

function paxRecords(fields: Readonly<Record<string, string>>): Buffer {
  const long = Object.entries(fields).filter(([, value]) => Buffer.byteLength(value) > 100);
  return Buffer.from(
    long
      .map(([key, value]) => {
        // A record begins with its own length, which counts its own digits.
        const rest = Buffer.byteLength(` ${key}=${value}\n`);
        let length = rest + String(rest).length;
        if (String(length).length > String(rest).length) length = rest + String(length).length;
        return `${length} ${key}=${value}\n`;
      })
      .join(""),
  );
}

function padded(data: Buffer): Buffer {
  const missing = (block - (data.length % block)) % block;
  return missing === 0 ? data : Buffer.concat([data, Buffer.alloc(missing)]);
}

function readPax(records: Buffer): { name?: string; target?: string } {
  const value = (key: string) => new RegExp(`^[0-9]+ ${key}=(.*)$`, "m").exec(records.toString())?.[1];
  const name = value("path");
  const target = value("linkpath");
  return { ...(name !== undefined && { name }), ...(target !== undefined && { target }) };
}

/** Reads a tar archive (ustar, pax or GNU). Hard links become copies; devices and sockets are left out, as no image of ours has any. */
export function readTar(archive: Buffer): Tree {
  const tree: Tree = new Map();
  const long: { name?: string; target?: string } = {};
  for (let at = 0; at + block <= archive.length && archive[at] !== 0; ) {
    const head = archive.subarray(at, at + block);
    const size = Number.parseInt(text(head, 124, 12), 8) || 0;
    const data = archive.subarray(at + block, at + block + size);
    at += block + Math.ceil(size / block) * block;
    const type = String.fromCharCode(head[156] ?? 0);
    if (type === "L") long.name = text(data, 0, size);
    else if (type === "K") long.target = text(data, 0, size);
    else if (type === "x") Object.assign(long, readPax(data));
    else {
      const prefix = text(head, 345, 155);
      const short = text(head, 0, 100);
      const path = (long.name ?? (prefix && ustar(head) ? `${prefix}/${short}` : short)).replace(
        /^\.\/|\/$/g,
        "",
      );
      const entry = readEntry(tree, head, { type, data, target: long.target ?? text(head, 157, 100) });
      if (entry && path !== "" && path !== ".") tree.set(path, entry);
      delete long.name;
      delete long.target;
    }
  }
  return tree;
}

function readEntry(
  tree: Tree,
  head: Buffer,
  { type, data, target }: { readonly type: string; readonly data: Buffer; readonly target: string },
): Entry | undefined {
  const mode = Number.parseInt(text(head, 100, 8), 8) & 0o7777;
  if (type === "0" || type === "\0") return { type: "file", mode, data };
  if (type === "1") return tree.get(target.replace(/^\.\//, ""));
  if (type === "2") return { type: "link", target };
  return type === "5" ? { type: "dir", mode } : undefined;
}

/** GNU archives use the bytes of the prefix for other things. */
function ustar(head: Buffer): boolean {
  return head.toString("latin1", 257, 263) === "ustar\0";
}

function text(bytes: Buffer, at: number, length: number): string {
  const end = bytes.indexOf(0, at);
  return bytes.toString("utf8", at, end < 0 || end > at + length ? at + length : end);
}
