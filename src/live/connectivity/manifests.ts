// SPDX-License-Identifier: Apache-2.0
import type { KubeObject } from "#k8s/resource.ts";
import { hostPorts, podPorts } from "./protocol.ts";

export const testLabel = "weft.io/connectivity-test";
const probeProgram = ["/usr/local/bin/node", "/opt/weft/dist/probe.mjs"];

/** The command of a session in which attempts are made. */
export const askCommand = [...probeProgram, "ask"];
export const containerName = "probe";

/** Pods of the test by what they are for; `far` and `farHost` only where there are two nodes. */
export type Role = "client" | "near" | "far" | "host" | "farHost";

export interface PodPlan {
  readonly role: Role;
  readonly node: string;
  readonly hostNetwork: boolean;
}

/** Where the pods go: all that is near on the first node, the others on the second. */
export function podPlans(nodes: readonly string[]): PodPlan[] {
  const [first, second] = nodes;
  const near: PodPlan[] = [
    { role: "client", node: first!, hostNetwork: false },
    { role: "near", node: first!, hostNetwork: false },
    { role: "host", node: first!, hostNetwork: true },
  ];
  if (second === undefined) return near;
  return [
    ...near,
    { role: "far", node: second, hostNetwork: false },
    { role: "farHost", node: second, hostNetwork: true },
  ];
}

export function podName(role: Role): string {
  return role === "farHost" ? "far-host" : role;
}

export function namespaceManifest(name: string): KubeObject {
  return object("v1", "Namespace", {
    metadata: {
      name,
      labels: {
        [testLabel]: "true",
        "app.kubernetes.io/name": "weft",
        // Pods on the host's network and pings are what it is for.
        "pod-security.kubernetes.io/enforce": "privileged",
        "pod-security.kubernetes.io/warn": "privileged",
      },
    },
  });
}

/** Pinned to its node, past the scheduler: a test of the network says nothing about taints. */
export function podManifest(
  namespace: string,
  image: string,
  { role, node, hostNetwork }: PodPlan,
): KubeObject {
  const ports = hostNetwork ? hostPorts : podPorts;
  const name = podName(role);
  return object("v1", "Pod", {
    metadata: { namespace, name, labels: { [testLabel]: "true", role } },
    spec: {
      nodeName: node,
      hostNetwork,
      tolerations: [{ operator: "Exists" }],
      terminationGracePeriodSeconds: 1,
      automountServiceAccountToken: false,
      restartPolicy: "Always",
      containers: [
        {
          name: containerName,
          image,
          imagePullPolicy: "IfNotPresent",
          command: [...probeProgram, "serve", name, String(ports.main), String(ports.other)],
          ports: [
            { name: "web", containerPort: ports.main, protocol: "TCP" },
            { name: "udp", containerPort: ports.main, protocol: "UDP" },
            { name: "other", containerPort: ports.other, protocol: "TCP" },
          ],
          readinessProbe: { tcpSocket: { port: ports.main }, periodSeconds: 1, timeoutSeconds: 3 },
          resources: { requests: { cpu: "5m", memory: "48Mi" } },
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ["ALL"], add: ["NET_RAW"] },
            seccompProfile: { type: "RuntimeDefault" },
          },
        },
      ],
    },
  });
}

/** One Service for each pod that is not on the host's network; the remote one, or the only one, has node ports too. */
export function serviceManifests(
  namespace: string,
  plans: readonly PodPlan[],
  dualStack: boolean,
): KubeObject[] {
  const target = nodePortRole(plans);
  return plans
    .filter(({ hostNetwork }) => !hostNetwork)
    .map(({ role }) =>
      object("v1", "Service", {
        metadata: { namespace, name: podName(role), labels: { [testLabel]: "true" } },
        spec: {
          type: role === target ? "NodePort" : "ClusterIP",
          ipFamilyPolicy: dualStack ? "RequireDualStack" : "SingleStack",
          selector: { [testLabel]: "true", role },
          ports: [
            { name: "web", port: 80, targetPort: "web", protocol: "TCP" },
            { name: "udp", port: 80, targetPort: "udp", protocol: "UDP" },
          ],
        },
      }),
    );
}

export function nodePortRole(plans: readonly PodPlan[]): Role {
  return plans.some(({ role }) => role === "far") ? "far" : "near";
}

/** A NetworkPolicy of the test for one pod. */
export function networkPolicy(namespace: string, name: string, role: Role, spec: object): KubeObject {
  return object("networking.k8s.io/v1", "NetworkPolicy", {
    metadata: { namespace, name },
    spec: { podSelector: { matchLabels: { role } }, ...spec },
  });
}

export function ciliumPolicy(namespace: string, name: string, role: Role, spec: object): KubeObject {
  return object("cilium.io/v2", "CiliumNetworkPolicy", {
    metadata: { namespace, name },
    spec: { endpointSelector: { matchLabels: { role } }, ...spec },
  });
}

function object(apiVersion: string, kind: string, rest: object): KubeObject {
  return { apiVersion, kind, ...rest };
}
