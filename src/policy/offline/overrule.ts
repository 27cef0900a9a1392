// SPDX-License-Identifier: Apache-2.0
import type { ManifestObject } from "#k8s/manifest.ts";
import { hostPrefix } from "#model/ip.ts";
import { type PortQuestion, portText, protocolName } from "#model/port.ts";
import { nameOf, subjectOf } from "./allow-policy.ts";
import type { OfflineCluster, OfflinePolicy } from "./cluster.ts";
import type { End } from "./end.ts";
import type { Judgement } from "./judge.ts";
import { placeOf } from "./object-edit.ts";
import type { OfflinePod } from "./pods.ts";

/** What goes before a rule of a ClusterNetworkPolicy that denies. */
export interface Overruling {
  readonly object: ManifestObject;
  readonly why: string;
}

export interface Overruled {
  readonly cluster: OfflineCluster;
  readonly policy: OfflinePolicy;
  /** Of the rule that denies: `spec.ingress[0]`. */
  readonly field: string;
  readonly direction: "ingress" | "egress";
  /** Who is denied. */
  readonly pod: OfflinePod;
  readonly path: Judgement;
}

type Action = "Pass" | "Accept";
type Spec = { tier: string; priority: number; subject: object } & Record<string, unknown>;

/**
 * Policies of the same tier and a stronger priority about just this pod, peer and port, the one that gives least first: `Pass` leaves it to the
 * tiers below. Where the priority can't be stronger the rule goes into the policy itself, before the one that denies. None where the
 * language has no words for the peer.
 */
export function overrulings(overruled: Overruled): Overruling[] {
  const { cluster, policy, direction, path } = overruled;
  const peer = peerOf(overruled);
  if (!peer) return [];
  const { tier, priority } = (policy.object as unknown as { readonly spec: Spec }).spec;
  const side = direction === "ingress" ? "from" : "to";
  const protocol = protocolOf(path);
  const rule = (action: Action) => ({ action, [side]: [peer], ...(protocol && { protocols: [protocol] }) });
  const ports = protocol ? "" : `, on every port: the language has no words for ${portText(path)}`;
  const below = tier === "Admin" ? "the policies below decide" : "what is usual decides";
  const words = { Pass: `lets just this pass, so that ${below}`, Accept: "accepts just this" } as const;
  return (["Pass", "Accept"] as const).map((action): Overruling => {
    if (priority === 0) return within(overruled, rule(action), `${words[action]}${ports}`);
    const spec = {
      tier,
      priority: strongerThan(cluster, { tier, priority }),
      subject: { pods: podsPeer(overruled.pod, cluster) },
      [direction]: [rule(action)],
    };
    const head = { apiVersion: policy.object.apiVersion, kind: policy.object.kind };
    const object = { ...head, metadata: { name: nameOf(path, direction) }, spec } as ManifestObject;
    return { object, why: `${words[action]}, before ${policy.key}${ports}` };
  });
}

/** Into the policy that denies: for everyone it is about. */
function within({ policy, field }: Overruled, rule: object, words: string): Overruling {
  const { object, list, index } = placeOf(policy.object, field)!;
  list.splice(index, 0, rule as Record<string, unknown>);
  const why = `${words}; nothing comes before priority 0, so in ${policy.key} itself, for all it is about`;
  return { object, why };
}

/** The next lower number; one that no policy of the tier has, if there is any. */
function strongerThan(
  { policies }: OfflineCluster,
  { tier, priority }: Pick<Spec, "tier" | "priority">,
): number {
  const taken = new Set(
    policies.flatMap(({ object }) => {
      const { spec } = object as unknown as { readonly spec?: Partial<Spec> };
      return object.kind === "ClusterNetworkPolicy" && spec?.tier === tier ? [spec.priority] : [];
    }),
  );
  for (let number = priority - 1; number >= 0; number--) if (!taken.has(number)) return number;
  return priority - 1;
}

function peerOf({ cluster, direction, path }: Overruled): object | undefined {
  const peer = direction === "ingress" ? path.from : path.to;
  if (peer.kind === "pod" && !peer.pod.hostNetwork) return { pods: podsPeer(peer.pod, cluster) };
  const addresses = addressesOf(peer);
  if (direction === "ingress" || addresses.length === 0) return undefined;
  return { networks: addresses.map(hostPrefix) };
}

function addressesOf(end: End) {
  if (end.kind === "pod") return end.pod.addresses;
  if (end.kind === "node") return end.address ? [end.address] : end.node.addresses;
  return end.address === undefined ? [] : [end.address];
}

function podsPeer(pod: OfflinePod, cluster: OfflineCluster): object {
  const matchLabels = { "kubernetes.io/metadata.name": pod.namespace };
  return { namespaceSelector: { matchLabels }, podSelector: subjectOf(pod, cluster) };
}

function protocolOf({ port, proto }: PortQuestion): object | undefined {
  const name = protocolName(proto);
  if (!["TCP", "UDP", "SCTP"].includes(name)) return undefined;
  return { [name.toLowerCase()]: { destinationPort: { number: port } } };
}
