// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startFanIn } from "#flows/fan-in.ts";
import { labObservers } from "#lab/agents.ts";
import { type LabPlan, statePaths } from "#lab/layout.ts";
import type { LabServices } from "#lab/up.ts";
import { installRoot } from "#lib/assets.ts";
import { WeftError } from "#lib/errors.ts";

/** The relay's usual port; another when it is taken. */
const OBSERVER_PORT = 4245;

/** What runs once for the whole lab: one observer over all agents, on a unix socket and a TCP port of the machine. */
export async function startLabServices(plan: LabPlan): Promise<LabServices> {
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
  const server = await listenOn(OBSERVER_PORT).catch((thrown: unknown) => {
    if (thrown instanceof WeftError && thrown.code === "E_LISTEN") return listenOn(0);
    throw thrown;
  });
  return {
    observer: `127.0.0.1:${server.tcpPort ?? OBSERVER_PORT}`,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
