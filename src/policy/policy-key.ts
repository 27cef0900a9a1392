// SPDX-License-Identifier: Apache-2.0

/** namespace: "" for a cluster-wide object. */
export interface PolicyName {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** `NetworkPolicy shop/web`, `CiliumClusterwideNetworkPolicy no-metadata`. */
export function policyKey({ kind, namespace, name }: PolicyName): string {
  return namespace === "" ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
}
