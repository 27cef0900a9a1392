// SPDX-License-Identifier: Apache-2.0
/** The files a node's programs read. */
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { dnsAddresses } from "./control-plane.ts";
import { addresses, type ClusterOptions, IMAGE_PREFIX, type Layout, nodeAddress } from "./shape.ts";

/** Directories of a node and where it sees them: what it keeps over a reboot. */
export const nodeDirectories = {
  "var-lib": "/var/lib",
  "var-log": "/var/log",
  opt: "/opt",
  "etc-cni": "/etc/cni",
} as const;

/** Writes the configuration of node `index` (from 1) into its directory. */
export function writeNodeConfig(layout: Layout, options: ClusterOptions, index: number): void {
  const node = `n${index}`;
  const dir = layout.nodeDir(node);
  const ip = nodeAddress(index);
  for (const name of ["etc", "manifests", ...Object.keys(nodeDirectories)]) {
    mkdirSync(join(dir, name), { recursive: true });
  }
  const file = (name: string, text: string) => writeFileSync(join(dir, name), text);
  file("etc/hostname", `${node}\n`);
  file("etc/machine-id", createHash("md5").update(`${layout.name} ${node}`).digest("hex"));
  const own6 = options.families === "dual" ? `${ip.v6} ${node}\n` : "";
  file("etc/hosts", `127.0.0.1 localhost\n::1 localhost\n${ip.v4} ${node}\n${own6}`);
  file("etc/resolv.conf", `nameserver ${addresses.gateway.v4}\n`);
  file("containerd.toml", containerdConfig());
  file("kubelet.yaml", stringify(kubeletConfig(layout, options, dir)));
  file("kube-proxy.yaml", stringify(kubeProxyConfig(layout, options, node)));
}

function containerdConfig(): string {
  // Lowering oom_score_adj takes CAP_SYS_RESOURCE, which a test machine may lack: no sandbox would start.
  return `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "${IMAGE_PREFIX}/pause:3.10.1"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
`;
}

function kubeletConfig(layout: Layout, options: ClusterOptions, dir: string): object {
  return {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    failCgroupV1: false,
    cgroupDriver: "cgroupfs",
    containerRuntimeEndpoint: "unix:///run/containerd/containerd.sock",
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: join(layout.pki, "ca.crt") },
    },
    authorization: { mode: "Webhook" },
    clusterDNS: dnsAddresses(options),
    clusterDomain: "cluster.local",
    resolvConf: "/etc/resolv.conf",
    staticPodPath: join(dir, "manifests"),
    failSwapOn: false,
    imageGCHighThresholdPercent: 100,
    evictionHard: { "memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%" },
    nodeStatusUpdateFrequency: "4s",
    // Tests kill containers again and again: minutes of waiting would hide what they do.
    crashLoopBackOff: { maxContainerRestartPeriod: "2s" },
  };
}

function kubeProxyConfig(layout: Layout, options: ClusterOptions, node: string): object {
  const dual = options.families === "dual";
  return {
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    kind: "KubeProxyConfiguration",
    mode: options.proxy,
    hostnameOverride: node,
    clusterCIDR: dual ? `${options.podCidr},${options.podCidr6}` : options.podCidr,
    clientConnection: { kubeconfig: join(layout.pki, "kube-proxy.conf") },
    // The machine-wide conntrack limits cannot be set from a network namespace.
    conntrack: { maxPerCore: 0, min: 0 },
  };
}
