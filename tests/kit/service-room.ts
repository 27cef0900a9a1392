// SPDX-License-Identifier: Apache-2.0
import { pino } from "pino";
import { parseAllDocuments } from "yaml";
import { idle } from "#kit/clock.ts";
import { memoryServiceMaps } from "#kit/service-maps.ts";
import { createHealth } from "#lib/health.ts";
import { parseAddress } from "#model/ip.ts";
import { nodeTable } from "#nodes/table.ts";
import { startServiceController } from "#services/controller.ts";
import { startServiceReconciler } from "#services/ops.ts";
import { type Redirect, redirectTable } from "#services/redirects.ts";
import { toEndpointSlice, toService } from "#services/source.ts";
import {
  endpointSliceTable,
  frontendIdTable,
  frontendTable,
  type HostPort,
  healthCheckTable,
  hostPortTable,
  serviceTable,
} from "#services/table.ts";
import { Database } from "#store/table.ts";

/** The whole room from YAML to maps. `apply` and `remove` return the maps when all has settled. */
export async function room(maps = memoryServiceMaps()) {
  const db = new Database();
  const services = serviceTable(db);
  const endpointSlices = endpointSliceTable(db);
  const nodes = nodeTable(db);
  const frontends = frontendTable(db);
  const frontendIds = frontendIdTable(db);
  const stop = new AbortController();
  const health = createHealth();
  const common = { db, frontends, health, log: pino({ level: "silent" }) };
  const hostPorts = hostPortTable(db);
  const redirects = redirectTable(db);
  const healthChecks = healthCheckTable(db);
  const sources = [services, endpointSlices, nodes, hostPorts, redirects].map((table) => table.source("t"));
  const write = (yaml: string, gone: boolean) => {
    for (const document of parseAllDocuments(yaml)) {
      const object = document.toJS();
      db.write((tx) => {
        const put = <V>(table: Parameters<typeof tx.put<V>>[0], row: V | undefined) => {
          if (!row) return;
          if (gone) tx.delete(table, table.keyOf(row));
          else tx.put(table, row);
        };
        if (object.kind === "Service") put(services, toService(object));
        else put(endpointSlices, toEndpointSlice(object));
      });
    }
  };
  const settle = async () => {
    await idle();
    return maps.dump();
  };
  const setNode = (...addresses: string[]) =>
    db.write((tx) =>
      tx.put(nodes, {
        name: "n1",
        self: true,
        addresses: addresses.map(parseAddress),
        podCidrs: [],
        labels: new Map([["k8s:topology.kubernetes.io/zone", "z1"]]),
      }),
    );
  setNode("192.168.0.1");
  const stack = new AsyncDisposableStack();
  stack.use(
    startServiceController(
      { ...common, services, endpointSlices, nodes, hostPorts, redirects, healthChecks, families: [4, 6] },
      stop.signal,
    ),
  );
  stack.use(startServiceReconciler({ ...common, frontendIds, maps }, stop.signal));
  return {
    maps,
    frontends,
    frontendIds,
    services,
    slices: endpointSlices,
    healthChecks,
    setNode,
    setRedirect: (row: Redirect) => db.write((tx) => tx.put(redirects, row)),
    setHostPort: (row: HostPort) => db.write((tx) => tx.put(hostPorts, row)),
    settle,
    health,
    sync: () => sources.map((source) => source.synced()),
    put: (yaml: string) => write(yaml, false),
    apply(yaml: string) {
      write(yaml, false);
      return settle();
    },
    remove(yaml: string) {
      write(yaml, true);
      return settle();
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

export const service = (spec: string, name = "web") => `
apiVersion: v1
kind: Service
metadata: { namespace: shop, name: ${name} }
spec: ${spec}
`;
export const web = service("{ clusterIP: 10.96.0.10, ports: [{ name: http, port: 80, targetPort: www }] }");
/** `10.0.0.1`, `10.0.0.2 ready=false`, … */
export const slice = (
  endpoints: string[],
  options: { name?: string; service?: string; ports?: string; v6?: boolean } = {},
) => `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
addressType: ${options.v6 ? "IPv6" : "IPv4"}
metadata: { namespace: shop, name: ${options.name ?? "web-1"}, labels: { kubernetes.io/service-name: ${options.service ?? "web"} } }
ports: ${options.ports ?? "[{ name: http, port: 8080 }]"}
endpoints:
${endpoints
  .map((text) => {
    const [address, ...conditions] = text.split(" ");
    const node = conditions.find((condition) => condition.startsWith("node="))?.slice(5);
    const list = conditions
      .filter((condition) => !condition.startsWith("node="))
      .map((condition) => condition.replace("=", ": "));
    return `- { addresses: ["${address}"], conditions: { ${list.join(", ")} }${node ? `, nodeName: ${node}` : ""} }`;
  })
  .join("\n")}
`;
