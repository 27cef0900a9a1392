// SPDX-License-Identifier: Apache-2.0
/** A large cluster as one node's policy engine sees it: 10,000 identities, 1,000 policies, 110 pods of the node. Always the same. */
import type { Endpoint } from "#endpoints/endpoint.ts";
import type { Identity, IpcacheEntry } from "#identities/identity.ts";
import { hostPrefix, nthAddress, parseAddress, parsePrefix } from "#model/ip.ts";
import { type Labels, parseLabels } from "#model/labels.ts";
import { compileCiliumPolicy } from "#policy/from-cilium.ts";
import { compileNetworkPolicy } from "#policy/from-network-policy.ts";
import type { PolicyRow } from "#policy/table.ts";

export const size = { namespaces: 200, apps: 50, pods: 110, policies: 1000 } as const;
const firstIdentity = 256;
const podCidr = parsePrefix("10.0.0.0/8");
const otherNode = parseAddress("192.168.1.20");

export function labelsOf(namespace: number, app: number): Labels {
  return parseLabels([
    `k8s:app=app-${app}`,
    `k8s:io.cilium.k8s.namespace.labels.team=team-${namespace % 10}`,
    `k8s:io.cilium.k8s.policy.cluster=default`,
    `k8s:io.cilium.k8s.policy.serviceaccount=sa-${app}`,
    `k8s:io.kubernetes.pod.namespace=ns-${namespace}`,
    `k8s:tier=${["front", "back", "data"][app % 3]}`,
  ]);
}

/** Identities by number, from 0. The 10,000 of the cluster come first; further ones live in namespaces that no policy speaks of. */
export function identityOf(index: number): Identity {
  const app = Math.floor(index / size.namespaces);
  const namespace = index % size.namespaces;
  const labels = new Map(labelsOf(namespace, app));
  if (app >= size.apps) {
    labels.set("k8s:io.cilium.k8s.namespace.labels.team", "none");
    labels.set("k8s:io.kubernetes.pod.namespace", `other-${namespace}`);
  }
  return { id: firstIdentity + index, labels };
}

/** A pod elsewhere: the ipcache's entry of pod number `index`. */
export function remotePod(index: number, identities: number): IpcacheEntry {
  return {
    prefix: hostPrefix(nthAddress(podCidr, 65_536 + index)),
    identity: firstIdentity + (index % identities),
    tunnel: otherNode,
    source: "endpoint",
  };
}

/** Pods of the node are spread over the namespaces. */
export function endpointOf(id: number): Endpoint {
  const [namespace, app] = [(id * 7) % size.namespaces, id % size.apps];
  return {
    id,
    namespace: `ns-${namespace}`,
    pod: `pod-${id}`,
    podUid: `uid-${id}`,
    containerId: `container-${id}`,
    ifname: "eth0",
    netns: `/run/netns/none-${id}`,
    hostIfname: `lxc${id}`,
    hostIfindex: 1000 + id,
    mac: "02:00:00:00:00:01",
    hostMac: "02:00:00:00:00:02",
    v4: nthAddress(podCidr, id),
    labels: labelsOf(namespace, app),
    identity: firstIdentity + namespace + app * size.namespaces,
    namedPorts: [],
  };
}

const ports = (...list: number[]) => list.map((port) => ({ protocol: "TCP", port }));
const app = (number: number) => ({ matchLabels: { app: `app-${number % size.apps}` } });

/** Five policies a namespace, of the kinds that people write. */
const kinds: readonly ((namespace: number) => { readonly cilium?: true; readonly spec: object })[] = [
  () => ({ spec: { podSelector: {}, policyTypes: ["Ingress", "Egress"] } }),
  (n) => ({
    spec: {
      podSelector: app(n),
      ingress: [{ from: [{ podSelector: app(n + 1) }, { podSelector: app(n + 2) }], ports: ports(80, 443) }],
      egress: [{ to: [{ podSelector: app(n + 3) }], ports: ports(5432) }],
    },
  }),
  (n) => ({
    spec: {
      podSelector: {},
      ingress: [
        {
          from: [{ namespaceSelector: { matchLabels: { team: `team-${n % 10}` } } }],
          ports: [{ protocol: "TCP", port: 9000, endPort: 9100 }],
        },
      ],
    },
  }),
  (n) => ({
    spec: {
      podSelector: { matchLabels: { tier: "front" } },
      policyTypes: ["Egress"],
      egress: [
        {
          to: [{ ipBlock: { cidr: `172.16.${n}.0/24`, except: [`172.16.${n}.128/25`] } }],
          ports: ports(443),
        },
      ],
    },
  }),
  (n) => ({
    cilium: true,
    spec: {
      endpointSelector: { matchLabels: { tier: "data" } },
      ingress: [
        {
          fromEndpoints: [{ matchLabels: { tier: "back" } }],
          toPorts: [{ ports: [{ port: "6379", protocol: "TCP" }] }],
        },
      ],
      ingressDeny: [{ fromCIDR: [`198.51.${n}.0/24`] }],
    },
  }),
];

function row(
  kind: string,
  [namespace, name]: readonly [string, string],
  rules: PolicyRow["rules"],
): PolicyRow {
  return { kind, namespace, name, uid: `${namespace}/${name}`, generation: 1, rules };
}

/** One of namespace `ns-N`, from the spec of a NetworkPolicy (or a CiliumNetworkPolicy). */
export function policyRowOf(
  namespace: number,
  name: string,
  { cilium, spec }: { readonly cilium?: true; readonly spec: object },
): PolicyRow {
  const kind = cilium ? "CiliumNetworkPolicy" : "NetworkPolicy";
  const apiVersion = cilium ? "cilium.io/v2" : "networking.k8s.io/v1";
  const metadata = { name, namespace: `ns-${namespace}`, uid: `${namespace}/${name}` };
  const compile = cilium ? compileCiliumPolicy : compileNetworkPolicy;
  return row(kind, [metadata.namespace, name], compile({ apiVersion, kind, metadata, spec }));
}

export function policyOf(index: number): PolicyRow {
  const namespace = index % size.namespaces;
  const kind = kinds[Math.floor(index / size.namespaces) % kinds.length]!;
  return policyRowOf(namespace, `policy-${index}`, kind(namespace));
}
