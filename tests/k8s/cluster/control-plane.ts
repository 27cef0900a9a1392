// SPDX-License-Identifier: Apache-2.0
/** etcd, API server, controller manager and scheduler, in the cluster's outer network namespace. */
import { join } from "node:path";
import { WeftError } from "#lib/errors.ts";
import { tryCommand } from "./command.ts";
import { inNamespace } from "./network.ts";
import { logTail, processId, startProcess } from "./process.ts";
import { addresses, type ClusterOptions, type Layout, serviceAddress } from "./shape.ts";
import { until } from "./until.ts";

export const components = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] as const;
export type Component = (typeof components)[number];

export interface ControlPlane {
  readonly layout: Layout;
  readonly options: ClusterOptions;
  /** Directory of the Kubernetes programs. */
  readonly bin: string;
}

/** Starts one component; nothing happens when it runs. */
export function startComponent(plane: ControlPlane, component: Component): void {
  if (processId(plane.layout, component) !== undefined) return;
  const program = component === "etcd" ? "etcd" : join(plane.bin, component);
  const argv = [program, ...arguments_[component](plane)];
  startProcess(plane.layout, component, inNamespace(plane.layout.netns, argv));
}

/** Waits until the API server says that it is ready. @throws WeftError with the end of its log when it ended */
export async function apiServerReady(plane: ControlPlane, timeoutMs = 90_000): Promise<void> {
  const { layout } = plane;
  await until("the API server to be ready", timeoutMs, async () => {
    const argv = [join(plane.bin, "kubectl"), `--kubeconfig=${layout.kubeconfig}`, "get", "--raw=/readyz"];
    if ((await tryCommand(inNamespace(layout.netns, argv))).code === 0) return true;
    for (const component of ["etcd", "kube-apiserver"] as const) {
      if (processId(layout, component) !== undefined) continue;
      throw new WeftError("E_CLUSTER_UP", `${component} ended\n${logTail(layout, component)}`, {
        hint: `see ${layout.logs}/${component}.log`,
      });
    }
    return false;
  });
}

const flags = (values: Readonly<Record<string, string | number | boolean>>) =>
  Object.entries(values).map(([name, value]) => `--${name}=${value}`);

const ranges = (options: ClusterOptions, v4: string, v6: string) =>
  options.families === "dual" ? `${v4},${v6}` : v4;

const arguments_: Record<Component, (plane: ControlPlane) => string[]> = {
  etcd: ({ layout }) => {
    const [client, peer] = [0, 1].map((offset) => `http://127.0.0.1:${addresses.etcdPort + offset}`);
    return flags({
      name: "e",
      "data-dir": join(layout.dir, "etcd"),
      // A test cluster is not worth waiting for the disk.
      "unsafe-no-fsync": true,
      "listen-client-urls": client!,
      "advertise-client-urls": client!,
      "listen-peer-urls": peer!,
      "initial-advertise-peer-urls": peer!,
      "initial-cluster": `e=${peer}`,
      logger: "zap",
      "log-level": "warn",
    });
  },
  "kube-apiserver": ({ layout, options }) => {
    const pki = (name: string) => join(layout.pki, name);
    return [
      ...flags({
        "etcd-servers": `http://127.0.0.1:${addresses.etcdPort}`,
        "bind-address": addresses.gateway.v4,
        "secure-port": addresses.apiPort,
        "advertise-address": addresses.gateway.v4,
        "service-cluster-ip-range": ranges(options, options.serviceCidr, options.serviceCidr6),
        "allow-privileged": true,
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "client-ca-file": pki("ca.crt"),
        "tls-cert-file": pki("apiserver.crt"),
        "tls-private-key-file": pki("apiserver.key"),
        "kubelet-client-certificate": pki("apiserver-kubelet.crt"),
        "kubelet-client-key": pki("apiserver-kubelet.key"),
        "kubelet-preferred-address-types": "InternalIP",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": pki("sa.pub"),
        "service-account-signing-key-file": pki("sa.key"),
        "requestheader-client-ca-file": pki("front-proxy-ca.crt"),
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "proxy-client-cert-file": pki("front-proxy.crt"),
        "proxy-client-key-file": pki("front-proxy.key"),
        "enable-aggregator-routing": true,
      }),
      ...options.apiServerFlags,
    ];
  },
  "kube-controller-manager": ({ layout, options }) => {
    const kubeconfig = join(layout.pki, "controller-manager.conf");
    return flags({
      kubeconfig,
      "authentication-kubeconfig": kubeconfig,
      "authorization-kubeconfig": kubeconfig,
      "leader-elect": false,
      "use-service-account-credentials": true,
      "bind-address": "127.0.0.1",
      "allocate-node-cidrs": options.nodeCidrs,
      "cluster-cidr": ranges(options, options.podCidr, options.podCidr6),
      "service-cluster-ip-range": ranges(options, options.serviceCidr, options.serviceCidr6),
      // Half of the usual: tests of lost nodes wait for it.
      "node-monitor-grace-period": "20s",
      "root-ca-file": join(layout.pki, "ca.crt"),
      "service-account-private-key-file": join(layout.pki, "sa.key"),
      // All: also those that are off unless somebody asks.
      controllers: "*",
    });
  },
  "kube-scheduler": ({ layout }) => {
    const kubeconfig = join(layout.pki, "scheduler.conf");
    return flags({
      kubeconfig,
      "authentication-kubeconfig": kubeconfig,
      "authorization-kubeconfig": kubeconfig,
      "leader-elect": false,
      "bind-address": "127.0.0.1",
    });
  },
};

/** Address of the cluster's DNS service, per family. */
export function dnsAddresses(options: ClusterOptions): string[] {
  return [serviceAddress(options, 10, 4)];
}
