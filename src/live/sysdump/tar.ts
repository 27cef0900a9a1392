// SPDX-License-Identifier: Apache-2.0

const block = 512;

/** One file of a tar archive (ustar, POSIX.1-1988), padded; two blocks of zeroes end the archive. */
export function tarEntry(path: string, data: Buffer, mtimeSec: number): Buffer {
  const header = Buffer.alloc(block);
  const { name, prefix } = splitPath(path);
  const octal = (value: number, length: number) => `${value.toString(8).padStart(length - 1, "0")}\0`;
  header.write(name, 0, 100);
  header.write(octal(0o600, 8), 100);
  header.write(octal(0, 8), 108);
  header.write(octal(0, 8), 116);
  header.write(octal(data.length, 12), 124);
  header.write(octal(mtimeSec, 12), 136);
  header.write("        ", 148);
  header.write("0", 156);
  header.write("ustar\x0000", 257);
  header.write(prefix, 345, 155);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return Buffer.concat([header, data, Buffer.alloc((block - (data.length % block)) % block)]);
}

export const tarEnd = Buffer.alloc(2 * block);

/** A path of more than 100 bytes is split at a slash; what does not fit then is cut. */
function splitPath(path: string): { name: string; prefix: string } {
  if (Buffer.byteLength(path) <= 100) return { name: path, prefix: "" };
  const at = path.lastIndexOf("/", 154);
  const name = path.slice(at + 1);
  return { name: name.slice(-100), prefix: path.slice(0, Math.max(0, at)) };
}
