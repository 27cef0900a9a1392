// SPDX-License-Identifier: Apache-2.0
import { lstatSync, mkdirSync, rmSync } from "node:fs";
import { connect, type Server } from "node:net";
import { dirname } from "node:path";
import { WeftError } from "#lib/errors.ts";

/** `sun_path` is 108 bytes with the closing zero. */
const MAX_PATH_BYTES = 107;

/**
 * Lets a server listen on a unix socket that only its owner can open, from its first moment. The file of a process that
 * is gone is replaced; where somebody serves, it is an error. For the main thread: a worker may not set the umask.
 * @throws WeftError E_LISTEN naming the path
 */
export async function listenOwnerOnly(server: Server, path: string): Promise<void> {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    throw new WeftError("E_LISTEN", `${path} is too long for a unix socket (${MAX_PATH_BYTES} bytes)`);
  }
  mkdirSync(dirname(path), { recursive: true });
  await freePath(path);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject).once("listening", resolve);
  // bind(2) happens inside listen(), so the umask holds for nothing else.
  const umask = process.umask(0o177);
  try {
    server.listen(path);
  } finally {
    process.umask(umask);
  }
  try {
    await promise;
  } catch (cause) {
    throw new WeftError("E_LISTEN", `cannot listen on ${path}`, { cause });
  }
}

async function freePath(path: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<NodeJS.ErrnoException | undefined>();
  const socket = connect(path);
  socket.once("connect", () => resolve(undefined)).once("error", resolve);
  const error = await promise;
  socket.destroy();
  if (error === undefined) throw new WeftError("E_LISTEN", `another process serves ${path}`);
  if (error.code === "ECONNREFUSED" && lstatSync(path).isSocket()) rmSync(path);
}
