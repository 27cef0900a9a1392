// SPDX-License-Identifier: Apache-2.0
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { stringify } from "yaml";
import { WeftError } from "#lib/errors.ts";
import type { User } from "./auth.ts";
import { behaviours, customChecks } from "./behaviours.ts";
import { createFirstObjects } from "./bootstrap.ts";
import { createAuthority, type Identity } from "./certificates.ts";
import { serveDefinitions } from "./crd/serve.ts";
import { startGarbageCollector } from "./gc.ts";
import { builtinResources } from "./kinds.ts";
import type { KubeletClient } from "./kubelet.ts";
import { Lister } from "./list.ts";
import { Catalog } from "./resource.ts";
import { reviews } from "./reviews.ts";
import { createHandler } from "./routes.ts";
import { serviceAllocator } from "./services.ts";
import { Store } from "./store.ts";

/** A listening socket that somebody else opened (perhaps in another network namespace), or an address to listen on. */
export type ListenOn = { readonly fd: number } | { readonly host: string; readonly port: number };

export interface ApiServerOptions {
  readonly listen: readonly ListenOn[];
  /** At least one; the first is the kubeconfig's. */
  readonly users: readonly User[];
  /** Names and addresses the serving certificate is good for besides loopback and `kubernetes.default.svc`. */
  readonly names?: readonly string[];
  /** Where Services get their addresses: at most one prefix per family; the first family is the default. */
  readonly serviceCidrs?: readonly string[];
  /** Reaches the nodes for exec and logs. */
  readonly kubelet?: KubeletClient;
  /** Stops the server. */
  readonly signal?: AbortSignal;
}

export interface ApiServer {
  readonly store: Store;
  readonly catalog: Catalog;
  /** The authority's certificate, PEM. */
  readonly ca: string;
  /** PEM. */
  readonly servingCertificate: string;
  /** What each `listen` entry got, in order. */
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
  /** A kubeconfig (YAML, with the first user's token: write it with mode 0600) for the server at `url`. */
  readonly kubeconfig: (url: string) => string;
  /** A client certificate for a user of its own. */
  readonly clientIdentity: (user: string, groups: readonly string[]) => Identity;
  /** Ends every connection, watches included. */
  readonly close: () => Promise<void>;
}

/** Starts the lab's Kubernetes API server; resolves when all sockets accept connections. @throws WeftError E_LISTEN. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const user = options.users[0];
  if (!user) throw new WeftError("E_CONFIG", "an API server needs at least one user");
  const store = new Store();
  const catalog = new Catalog();
  const serviceCidrs = options.serviceCidrs ?? ["10.96.0.0/16"];
  const services = {
    ...behaviours["/services"],
    allocate: serviceAllocator(store, serviceCidrs),
  };
  for (const resource of builtinResources({ ...behaviours, "/services": services, ...reviews }))
    catalog.add(resource);
  const stopCollector = startGarbageCollector(store, catalog);
  const authority = createAuthority();
  serveDefinitions(store, catalog, customChecks);
  createFirstObjects(store, catalog, { ca: authority.certificate, serviceCidrs });
  const handler = createHandler({
    store,
    catalog,
    lister: new Lister(store),
    users: options.users,
    kubelet: options.kubelet,
  });
  const names = [
    "localhost",
    "127.0.0.1",
    "::1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
  ];
  const { certificate, key } = authority.server("weft-lab-apiserver", [...names, ...(options.names ?? [])]);
  const tls = {
    cert: certificate,
    key,
    ca: authority.certificate,
    requestCert: true,
    rejectUnauthorized: false,
  };
  const servers = options.listen.map(() => {
    const server = createServer(
      { ...tls, keepAliveTimeout: 120_000, requestTimeout: 0, headersTimeout: 30_000 },
      handler.request,
    );
    server.on("upgrade", handler.upgrade);
    return server;
  });
  const addresses = await Promise.all(servers.map((server, i) => listen(server, options.listen[i]!)));
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    stopCollector();
    closing ??= Promise.all(servers.map(closeServer)).then(() => undefined);
    return closing;
  };
  options.signal?.addEventListener("abort", () => void close(), { once: true });
  return {
    store,
    catalog,
    ca: authority.certificate,
    servingCertificate: certificate,
    addresses,
    kubeconfig: (url) => kubeconfig(url, authority.certificate, user),
    clientIdentity: authority.client,
    close,
  };
}

function listen(server: Server, on: ListenOn): Promise<{ host: string; port: number }> {
  return new Promise((resolve, reject) => {
    const failed = (cause: Error) =>
      reject(new WeftError("E_LISTEN", `cannot listen on ${JSON.stringify(on)}`, { cause }));
    server.once("error", failed);
    server.listen(on, () => {
      server.off("error", failed);
      const { address, port } = server.address() as AddressInfo;
      resolve({ host: address, port });
    });
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

function kubeconfig(url: string, ca: string, user: User): string {
  const name = "weft-lab";
  return stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      { name, cluster: { server: url, "certificate-authority-data": Buffer.from(ca).toString("base64") } },
    ],
    users: [{ name, user: { token: user.token } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    "current-context": name,
  });
}
