// SPDX-License-Identifier: Apache-2.0
import { createServer, type RequestListener, type Server } from "node:http";
import { errorText } from "#lib/errors.ts";
import type { Health } from "#lib/health.ts";
import type { Logger } from "#lib/log.ts";
import { answerHealth } from "#services/node-health.ts";
import type { HealthCheck } from "#services/table.ts";
import { startController } from "#store/controller.ts";
import type { Table } from "#store/table.ts";

export interface HealthServerDeps {
  readonly healthChecks: Table<HealthCheck>;
  /** Whether the load balancer's maps follow the cluster. */
  healthy(): boolean;
  readonly health: Health;
  readonly log: Logger;
}

/** A port that is taken is asked for again after this time. */
const retryMs = 5_000;

interface Opened {
  readonly port: number;
  close(): void;
}

/**
 * A server on every healthCheckNodePort: it tells load balancers whether this node has pods for the Service (200) or not
 * (503), with kube-proxy's words. A port that cannot be had is tried again and said in health.
 */
export function startHealthChecks(deps: HealthServerDeps, signal: AbortSignal): AsyncDisposable {
  const { healthChecks, health, log } = deps;
  const opened = new Map<string, Opened>();
  const refused = new Map<string, string>();
  const tell = () => {
    const problems = [...refused.values()];
    health.set(
      "health-check-ports",
      problems.length > 0 ? "degraded" : "ok",
      problems.join("; ") || `${opened.size} port(s)`,
    );
  };
  const close = (key: string) => {
    opened.get(key)?.close();
    opened.delete(key);
    refused.delete(key);
  };
  const open = (key: string, port: number) => {
    const listener = answerer(deps, key);
    opened.set(
      key,
      keepListening(port, listener, (problem) => {
        if (problem) log.warn({ service: key, port, error: problem }, "cannot serve a healthCheckNodePort");
        if (problem) refused.set(key, `${key}: ${problem}`);
        else refused.delete(key);
        tell();
      }),
    );
  };
  const controller = startController({
    name: "health-checks",
    inputs: { healthChecks },
    signal,
    health,
    log,
    run(changes) {
      for (const [key, change] of changes.healthChecks) {
        if (change.kind === "put" && opened.get(key)?.port === change.row.port) continue;
        close(key);
        if (change.kind === "put") open(key, change.row.port);
      }
      tell();
      return `${opened.size} port(s)`;
    },
  });
  return {
    async [Symbol.asyncDispose]() {
      await controller[Symbol.asyncDispose]();
      for (const key of [...opened.keys()]) close(key);
    },
  };
}

function answerer({ healthChecks, healthy }: HealthServerDeps, key: string): RequestListener {
  return (_, response) => {
    const check = healthChecks.get(key);
    const localEndpoints = check?.localEndpoints ?? 0;
    const serviceProxyHealthy = healthy();
    const [namespace, name] = check ? [check.namespace, check.name] : key.split("/");
    response.setHeader("X-Load-Balancing-Endpoint-Weight", String(localEndpoints));
    answerHealth(response, localEndpoints > 0 && serviceProxyHealthy, {
      service: { namespace, name },
      localEndpoints,
      serviceProxyHealthy,
    });
  };
}

/** On every address of the node, IPv6 and IPv4; until closed. */
function keepListening(
  port: number,
  listener: RequestListener,
  tell: (problem: string | undefined) => void,
): Opened {
  let server: Server | undefined;
  let timer: NodeJS.Timeout | undefined;
  const listen = () => {
    server = createServer(listener);
    server.once("listening", () => tell(undefined));
    server.once("error", (error) => {
      tell(errorText(error));
      timer = setTimeout(listen, retryMs);
    });
    server.listen(port);
  };
  listen();
  return {
    port,
    close() {
      clearTimeout(timer);
      server?.removeAllListeners("error").on("error", () => {});
      server?.removeAllListeners("listening");
      server?.close();
      server?.closeAllConnections();
    },
  };
}
