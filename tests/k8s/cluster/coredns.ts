// SPDX-License-Identifier: Apache-2.0
import type { Cluster } from "./cluster.ts";
import { dnsAddresses } from "./control-plane.ts";
import { IMAGE_PREFIX } from "./shape.ts";

const labels = { "k8s-app": "kube-dns" };
const metadata = { name: "coredns", namespace: "kube-system" };

/** Applies CoreDNS as the cluster's DNS, the service `kube-dns`; it becomes ready when there is a pod network. */
export async function deployDns(cluster: Cluster): Promise<void> {
  await cluster.apply({ apiVersion: "v1", kind: "List", items: objects(cluster) });
}

/** Waits until it answers. */
export async function dnsReady(cluster: Cluster): Promise<void> {
  await cluster.kubectl(["-n", "kube-system", "rollout", "status", "deploy/coredns", "--timeout=120s"]);
}

/** The lame-duck time lets a server that is told to go answer until nobody asks it any more. */
const corefile = `.:53 {
    errors
    health {
        lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
    }
    cache 5
}
`;

function objects(cluster: Cluster): object[] {
  const rbac = "rbac.authorization.k8s.io";
  const read = ["list", "watch"];
  const container = {
    name: "coredns",
    image: `${IMAGE_PREFIX}/coredns:local`,
    args: ["-conf", "/etc/coredns/Corefile"],
    readinessProbe: { httpGet: { path: "/ready", port: 8181 }, periodSeconds: 1 },
    resources: { requests: { cpu: "10m" } },
    volumeMounts: [{ name: "config", mountPath: "/etc/coredns" }],
  };
  const dual = cluster.options.families === "dual";
  return [
    { apiVersion: "v1", kind: "ServiceAccount", metadata },
    {
      apiVersion: `${rbac}/v1`,
      kind: "ClusterRole",
      metadata: { name: "coredns" },
      rules: [
        { apiGroups: [""], resources: ["endpoints", "services", "pods", "namespaces"], verbs: read },
        { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: read },
      ],
    },
    {
      apiVersion: `${rbac}/v1`,
      kind: "ClusterRoleBinding",
      metadata: { name: "coredns" },
      roleRef: { apiGroup: rbac, kind: "ClusterRole", name: "coredns" },
      subjects: [{ kind: "ServiceAccount", ...metadata }],
    },
    { apiVersion: "v1", kind: "ConfigMap", metadata, data: { Corefile: corefile } },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata,
      spec: {
        // One on every node as far as they go: draining a node must not take DNS away.
        replicas: Math.min(2, Math.max(1, cluster.nodes.length)),
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            serviceAccountName: "coredns",
            priorityClassName: "system-cluster-critical",
            dnsPolicy: "Default",
            topologySpreadConstraints: [
              {
                maxSkew: 1,
                topologyKey: "kubernetes.io/hostname",
                whenUnsatisfiable: "ScheduleAnyway",
                labelSelector: { matchLabels: labels },
              },
            ],
            containers: [container],
            volumes: [{ name: "config", configMap: { name: "coredns" } }],
          },
        },
      },
    },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "kube-dns", namespace: "kube-system", labels },
      spec: {
        clusterIP: dnsAddresses(cluster.options)[0],
        ...(dual ? { ipFamilyPolicy: "PreferDualStack" } : {}),
        selector: labels,
        ports: [
          { name: "dns", port: 53, protocol: "UDP" },
          { name: "dns-tcp", port: 53, protocol: "TCP" },
          { name: "metrics", port: 9153 },
        ],
      },
    },
  ];
}
