// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createKubeClient, type KubeClient } from "#k8s/client.ts";
import { loadCredentials } from "#k8s/kubeconfig.ts";
import { startApiServer } from "#lab/apiserver/server.ts";

export interface TestApi extends AsyncDisposable {
  readonly client: KubeClient;
  /** Path. */
  readonly kubeconfig: string;
}

/**
 * An API server for a test: the lab's own in this process, empty; or, when `WEFT_TEST_KUBECONFIG` names one, a real one, which the test
 * shares with those before it.
 */
export async function startTestApi(): Promise<TestApi> {
  await using stack = new AsyncDisposableStack();
  let kubeconfig = process.env.WEFT_TEST_KUBECONFIG;
  if (kubeconfig === undefined) {
    const dir = mkdtempSync(join(tmpdir(), "weft-api-"));
    stack.defer(() => rmSync(dir, { recursive: true }));
    const server = await startApiServer({
      listen: [{ host: "127.0.0.1", port: 0 }],
      users: [{ name: "admin", token: "t0ken", groups: ["system:masters"] }],
    });
    stack.defer(() => server.close());
    kubeconfig = join(dir, "kubeconfig");
    const url = `https://127.0.0.1:${server.addresses[0]!.port}`;
    writeFileSync(kubeconfig, server.kubeconfig(url), { mode: 0o600 });
  }
  const client = stack.use(createKubeClient(await loadCredentials(kubeconfig)));
  const kept = stack.move();
  return { client, kubeconfig, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}
