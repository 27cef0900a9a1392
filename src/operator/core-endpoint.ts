// SPDX-License-Identifier: Apache-2.0
import type { CiliumEndpointObject } from "#endpoints/source.ts";

/** One endpoint of a CiliumEndpointSlice, as the kind writes it. `id` is the identity. */
export interface CoreEndpoint {
  readonly name: string;
  readonly id: number;
  readonly networking: {
    readonly addressing: readonly { readonly ipv4?: string; readonly ipv6?: string }[];
    readonly node?: string;
  };
  readonly "named-ports"?: readonly {
    readonly name: string;
    readonly port: number;
    readonly protocol: string;
  }[];
  readonly "pod-uid"?: string;
}

/** A CiliumEndpoint: what a slice says of it, and what its removal needs. */
export interface PublishedEndpoint extends CoreEndpoint {
  readonly namespace: string;
  readonly uid: string;
}

/** Undefined while the object says nothing of address and identity yet. */
export function publishedEndpointRow(object: CiliumEndpointObject): PublishedEndpoint | undefined {
  const { identity, networking } = object.status ?? {};
  if (!identity || !networking) return undefined;
  const { namespace, name, ownerReferences } = object.metadata;
  const ports = object.status?.["named-ports"] ?? [];
  const podUid = ownerReferences?.find(({ kind }) => kind === "Pod")?.uid;
  return {
    namespace,
    name,
    uid: (object.metadata as { uid?: string }).uid ?? "",
    id: identity.id,
    networking: {
      addressing: networking.addressing.map(({ ipv4, ipv6 }) => ({
        ...(ipv4 && { ipv4 }),
        ...(ipv6 && { ipv6 }),
      })),
      ...(networking.node && { node: networking.node }),
    },
    ...(ports.length > 0 && {
      "named-ports": ports.map(({ name: port, port: number, protocol }) => ({
        name: port,
        port: number,
        protocol,
      })),
    }),
    ...(podUid !== undefined && { "pod-uid": podUid }),
  };
}

/** Just the fields a slice has of an endpoint. */
export function coreOf(endpoint: CoreEndpoint): CoreEndpoint {
  const { name, id, networking } = endpoint;
  const ports = endpoint["named-ports"];
  const uid = endpoint["pod-uid"];
  return {
    name,
    id,
    networking,
    ...(ports && { "named-ports": ports }),
    ...(uid !== undefined && { "pod-uid": uid }),
  };
}

/** Equal endpoints have equal texts. */
export function coreText({
  name,
  id,
  networking,
  "named-ports": ports = [],
  "pod-uid": uid = "",
}: CoreEndpoint): string {
  const addresses = networking.addressing.map(({ ipv4 = "", ipv6 = "" }) => `${ipv4},${ipv6}`);
  const named = ports.map((port) => `${port.name}/${port.port}/${port.protocol}`);
  return [name, id, networking.node ?? "", uid, addresses.join(" "), named.join(" ")].join("|");
}
