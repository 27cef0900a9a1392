// SPDX-License-Identifier: Apache-2.0
import { createServer, type Socket } from "node:net";
import { openNetlink } from "#kernel/netlink/handle.ts";
import { errorText } from "#lib/errors.ts";
import { listenOwnerOnly } from "#lib/unix-socket.ts";
import { CniCommands } from "./commands.ts";
import { type CniDeps, ownerOf } from "./deps.ts";
import { CniError, errorObject, toCniError } from "./errors.ts";
import { decodeFrame, encodeAnswer, type Frame, MAX_FRAME_BYTES } from "./frame.ts";
import { startHousekeeping } from "./housekeeping.ts";
import { answerVersion, parseRequest } from "./request.ts";

/** The shim sends its request at once. */
const REQUEST_TIMEOUT_MS = 10_000;

export interface CniServerOptions {
  readonly socketPath: string;
  /** Where the shim notes the DELs that nobody answers. */
  readonly deletionsDir: string;
  readonly deps: CniDeps;
  /** See {@link startHousekeeping}. */
  readonly housekeepingMs?: number;
  /** Stops the server, as disposing of it does. */
  readonly signal: AbortSignal;
}

/**
 * Serves the CNI shim on a unix socket only root can use. Before it listens it notes the endpoints' addresses in the
 * IPAM; afterwards it makes up for the DELs that came before. A device that a crash in the middle of ADD left behind goes
 * with the runtime's DEL, or with GC. Disposing
 * undoes ADDs that still run.
 * @throws WeftError E_LISTEN when the path is unfit or somebody serves there
 */
export async function startCniServer({
  socketPath,
  deletionsDir,
  deps,
  housekeepingMs,
  signal,
}: CniServerOptions): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const netlink = stack.use(openNetlink(deps.node.netns === undefined ? {} : { netns: deps.node.netns }));
  const commands = new CniCommands(deps, netlink);
  restoreAddresses(deps);
  const server = createServer((socket) => void serve(socket, commands, deps));
  await listenOwnerOnly(server, socketPath);
  stack.defer(() => commands.stop());
  stack.defer(() => void server.close());
  stack.use(startHousekeeping({ deps, commands, netlink, deletionsDir, everyMs: housekeepingMs }));
  const started = stack.move();
  const stop = () => void started.disposeAsync();
  signal.addEventListener("abort", stop, { once: true });
  started.defer(() => signal.removeEventListener("abort", stop));
  if (signal.aborted) stop();
  return started;
}

function restoreAddresses({ ipam, endpoints, log }: CniDeps): void {
  for (const endpoint of endpoints.list()) {
    const { v4, v6 } = endpoint;
    const owner = ownerOf(endpoint);
    if (ipam.get(owner) !== undefined) continue;
    try {
      ipam.restore(owner, { ...(v4 !== undefined && { v4 }), ...(v6 !== undefined && { v6 }) });
    } catch (error) {
      log.error({ endpoint: endpoint.id, error: errorText(error) }, "endpoint's address can't be restored");
    }
  }
}

async function serve(socket: Socket, commands: CniCommands, deps: CniDeps): Promise<void> {
  const gone = new AbortController();
  socket.on("close", () => gone.abort(new CniError("tryAgain", "the runtime gave the command up")));
  socket.on("error", (error) => deps.log.debug({ error: errorText(error) }, "CNI connection failed"));
  let frame: Frame | undefined;
  try {
    frame = await readFrame(socket);
    if (frame === undefined) return;
    await answer(socket, await run(frame, { commands, deps, gone: gone.signal }));
  } catch (error) {
    await answer(socket, failure(error, frame?.config ?? ""));
  } finally {
    socket.destroy();
  }
}

interface Context {
  readonly commands: CniCommands;
  readonly deps: CniDeps;
  /** Aborts when the shim is gone. */
  readonly gone: AbortSignal;
}

async function run(frame: Frame, { commands, deps, gone }: Context): Promise<Uint8Array> {
  const startMs = performance.now();
  const fields = {
    command: frame.environment.get("CNI_COMMAND"),
    container: frame.environment.get("CNI_CONTAINERID"),
  };
  const ms = () => Math.round((performance.now() - startMs) * 10) / 10;
  try {
    const request = parseRequest(frame);
    const result = await commands.execute(request, gone);
    if (request.command === "ADD" && gone.aborted) {
      // Nobody heard that it worked.
      await commands.execute({ ...request, command: "DEL" }, gone);
      throw gone.reason;
    }
    deps.log.debug({ ...fields, ms: ms() }, "CNI command done");
    return encodeAnswer(0, result === undefined ? "" : `${JSON.stringify(result)}\n`);
  } catch (error) {
    deps.log.warn({ ...fields, ms: ms(), error: errorText(error) }, "CNI command failed");
    return failure(error, frame.config);
  }
}

function failure(error: unknown, config: string): Uint8Array {
  return encodeAnswer(1, `${JSON.stringify(errorObject(toCniError(error), answerVersion(config)))}\n`);
}

/** One request; undefined when the connection ends before it is whole. @throws CniError */
async function readFrame(socket: Socket): Promise<Frame | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Frame | undefined>();
  let bytes = Buffer.alloc(0);
  socket.setTimeout(REQUEST_TIMEOUT_MS, () => reject(new CniError("ioFailure", "the request did not come")));
  socket.on("data", (chunk: Buffer) => {
    if (bytes.length > MAX_FRAME_BYTES + 4) return;
    bytes = Buffer.concat([bytes, chunk]);
    try {
      const frame = decodeFrame(bytes);
      if (frame !== undefined) resolve(frame);
    } catch (error) {
      reject(error);
    }
  });
  socket.on("close", () => resolve(undefined));
  const frame = await promise;
  socket.setTimeout(0);
  return frame;
}

async function answer(socket: Socket, bytes: Uint8Array): Promise<void> {
  if (socket.destroyed) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.once("close", resolve);
  socket.end(bytes, resolve);
  await promise;
}
