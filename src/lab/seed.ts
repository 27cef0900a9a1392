// SPDX-License-Identifier: Apache-2.0
import { type Cluster, kinds } from "./cluster.ts";
import { byFamily, clusterDns, type LabPlan } from "./layout.ts";
import type { Deployment, Service } from "./objects.ts";

/** What the lab's cluster has beside what every API server starts with: its DNS. */
export async function seedCluster(cluster: Cluster, plan: LabPlan): Promise<void> {
  await cluster.create(kinds.service, dnsService(plan));
  await cluster.create(kinds.deployment, dnsDeployment(plan));
}

const labels = { "k8s-app": "kube-dns" };

function dnsService(plan: LabPlan): Service {
  const addresses = byFamily(plan.families, clusterDns.v4, clusterDns.v6);
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "kube-dns", namespace: "kube-system", labels },
    spec: {
      type: "ClusterIP",
      clusterIP: addresses[0] ?? "",
      clusterIPs: addresses,
      ipFamilies: byFamily(plan.families, "IPv4", "IPv6"),
      ...(plan.families === "dual" && { ipFamilyPolicy: "RequireDualStack" }),
      selector: labels,
      ports: [
        { name: "dns", port: 53, protocol: "UDP", targetPort: 53 },
        { name: "dns-tcp", port: 53, protocol: "TCP", targetPort: 53 },
      ],
    },
  };
}

function dnsDeployment(plan: LabPlan): Deployment {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "lab-dns", namespace: "kube-system", labels },
    spec: {
      replicas: Math.min(2, plan.nodes.length),
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          containers: [
            {
              name: "dns",
              image: "weft.example/lab-dns",
              ports: [
                { name: "dns", containerPort: 53, protocol: "UDP" },
                { name: "dns-tcp", containerPort: 53, protocol: "TCP" },
              ],
            },
          ],
        },
      },
    },
  };
}
