// SPDX-License-Identifier: Apache-2.0
import { startApiServer } from "#lab/apiserver/server.ts";
import { connectTo, type Target } from "./target.ts";

/** More writes than the server remembers events of. */
const forgetting = 9_000;

/** More lists in pages than it keeps at once. */
const lists = 70;

/** The lab's API server, alone. */
export async function embeddedTarget(): Promise<Target> {
  const token = "contract";
  const server = await startApiServer({
    listen: [{ host: "127.0.0.1", port: 0 }],
    users: [{ name: "admin", groups: ["system:masters"], token }],
    serviceCidrs: ["10.96.0.0/16", "fd00:96::/108"],
  });
  const client = connectTo({ host: "127.0.0.1", port: server.addresses[0]!.port, ca: server.ca, token });
  return {
    name: "embedded",
    call: client.call,
    watch: client.watch,
    forgottenVersion: () => {
      const old = String(server.store.revision);
      const metadata = { name: "busy", namespace: "default" };
      for (let i = 0; i < forgetting; i++) {
        server.store.put("/configmaps", "default/busy", { apiVersion: "v1", kind: "ConfigMap", metadata });
      }
      return Promise.resolve(old);
    },
    forgottenToken: async (token) => {
      for (let i = 0; i < lists; i++) await client.call("GET", "/api/v1/namespaces?limit=1");
      return token;
    },
    [Symbol.asyncDispose]: async () => {
      client[Symbol.dispose]();
      await server.close();
    },
  };
}
