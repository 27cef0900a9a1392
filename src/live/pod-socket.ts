// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream";
import type { KubeClient } from "#k8s/client.ts";
import { connectPod, type PodPort } from "#k8s/port-forward.ts";
import { errorText } from "#lib/errors.ts";
import { listenOwnerOnly } from "#lib/unix-socket.ts";

/** A unix socket of this machine behind which a pod's port is. Disposing closes it and its connections. */
export interface PodSocket extends AsyncDisposable {
  readonly path: string;
  /** Why the last connection failed, if it did. */
  problem(): string | undefined;
}

/**
 * Gives a pod's port a socket here, which only this user can open: whoever connects to it gets a connection of its own through the API
 * server. (HTTP/2 of Node wants a real socket below it: over a stream, answers that come in one piece are lost.)
 */
export async function podSocket(client: KubeClient, at: PodPort, signal: AbortSignal): Promise<PodSocket> {
  const dir = await mkdtemp(join(tmpdir(), "weft-"));
  const path = join(dir, "pod.sock");
  const open = new Set<Socket>();
  let problem: string | undefined;
  const server = createServer((socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    const failed = (error: Error | null) => {
      if (error && (error as NodeJS.ErrnoException).code !== "ERR_STREAM_PREMATURE_CLOSE")
        problem = errorText(error);
    };
    const remote = connectPod(client, at, signal);
    pipeline(socket, remote, failed);
    pipeline(remote, socket, failed);
  });
  await listenOwnerOnly(server, path);
  return {
    path,
    problem: () => problem,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      await rm(dir, { recursive: true, force: true });
    },
  };
}
