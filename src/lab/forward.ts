// SPDX-License-Identifier: Apache-2.0
import { createServer, type Socket } from "node:net";
import { WeftError } from "#lib/errors.ts";
import type { Address } from "#model/ip.ts";
import { connectFrom } from "./stand-in/calls.ts";

export interface Forward extends AsyncDisposable {
  /** `127.0.0.1:PORT` on the machine. */
  readonly address: string;
}

/** Makes a TCP port inside the lab reachable on the machine's loopback. `port` 0: any. @throws WeftError E_LISTEN */
export async function startForward(
  port: number,
  to: { readonly netns: string; readonly address: Address; readonly port: number },
): Promise<Forward> {
  const open = new Set<Socket>();
  const server = createServer((near) => {
    open.add(near);
    near.on("error", () => near.destroy());
    near.once("close", () => open.delete(near));
    connectFrom(to.netns, { ...to, timeoutMs: 2000 }).then(
      (far) => {
        near.pipe(far).pipe(near);
        near.once("close", () => far.destroy());
        far.once("close", () => near.destroy());
      },
      () => near.destroy(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => reject(new WeftError("E_LISTEN", `cannot listen on 127.0.0.1:${port}`, { cause })));
    server.listen(port, "127.0.0.1", () => resolve());
  });
  const bound = server.address();
  return {
    address: `127.0.0.1:${typeof bound === "object" && bound ? bound.port : port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
