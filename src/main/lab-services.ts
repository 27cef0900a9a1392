// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startFanIn } from "#flows/fan-in.ts";
import { createKubeClient } from "#k8s/client.ts";
import { loadCredentials } from "#k8s/kubeconfig.ts";
import { labObservers } from "#lab/agents.ts";
import { type LabPlan, statePaths } from "#lab/layout.ts";
import type { LabServices } from "#lab/up.ts";
import { installRoot } from "#lib/assets.ts";
import { WeftError } from "#lib/errors.ts";
import { createHealth } from "#lib/health.ts";
import { createLogger } from "#lib/log.ts";
import { startPolicyConditions } from "#operator/policy-status.ts";
import { Database } from "#store/table.ts";

/** The relay's usual port; another when it is taken. */
const OBSERVER_PORT = 4245;

/**
 * What runs once for the whole lab: one observer over all agents, on a unix socket and a TCP port of the machine, and of the operator's
 * work what tells policies their status.
 */
export async function startLabServices(plan: LabPlan, signal: AbortSignal): Promise<LabServices> {
  await using stack = new AsyncDisposableStack();
  const credentials = await loadCredentials(statePaths.kubeconfig);
  const client = stack.use(createKubeClient(credentials, { userAgent: "weft-operator" }));
  const log = createLogger("lab-operator");
  stack.use(startPolicyConditions({ client, db: new Database(), health: createHealth(), log, signal }));
  const observer = stack.use(await startObserver(plan));
  const kept = stack.move();
  return {
    observer: `127.0.0.1:${observer.tcpPort ?? OBSERVER_PORT}`,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

async function startObserver(plan: LabPlan) {
  const { version } = JSON.parse(readFileSync(join(installRoot(), "package.json"), "utf8")) as {
    version: string;
  };
  const nodes = labObservers(plan).map(({ node, socket }) => ({
    name: `weft-lab/${node}`,
    address: `unix://${socket}`,
  }));
  const listenOn = (port: number) =>
    startFanIn({
      nodes,
      version,
      name: "weft-lab",
      listen: { unix: statePaths.observer, tcp: { host: "127.0.0.1", port } },
    });
  return listenOn(OBSERVER_PORT).catch((thrown: unknown) => {
    if (thrown instanceof WeftError && thrown.code === "E_LISTEN") return listenOn(0);
    throw thrown;
  });
}
