The label of the world means the world in either family, as the entity does: in clusters of two families, addresses that nobody names have the label of their own family alone. Whoever is not the world lacks it.
-- policies.yaml --
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: db}}
  ingressDeny:
  - fromEndpoints: [{matchLabels: {"reserved:world": ""}}]
  egress:
  - toEndpoints: [{matchExpressions: [{key: "reserved:world", operator: DoesNotExist}]}]
-- rules --
CiliumNetworkPolicy shop/db spec.ingressDeny[0]
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  deny {reserved:world=} on anything
CiliumNetworkPolicy shop/db spec.egress[0]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {!reserved:world} on anything
-- entries --
shop/db: ingress enforced, egress enforced
  ingress anybody any deny by default: CiliumNetworkPolicy shop/db
  ingress host any allow: Implicit allow-localhost [0]
  ingress world any deny: CiliumNetworkPolicy shop/db spec.ingressDeny[0]
  ingress world-ipv4 any deny: CiliumNetworkPolicy shop/db spec.ingressDeny[0]
  ingress world-ipv6 any deny: CiliumNetworkPolicy shop/db spec.ingressDeny[0]
  egress anybody any deny by default: CiliumNetworkPolicy shop/db
  egress host any allow: CiliumNetworkPolicy shop/db spec.egress[0]
  egress remote-node any allow: CiliumNetworkPolicy shop/db spec.egress[0]
  egress kube-apiserver any allow: CiliumNetworkPolicy shop/db spec.egress[0]
  egress shop/front any allow: CiliumNetworkPolicy shop/db spec.egress[0]
  egress shop/cart any allow: CiliumNetworkPolicy shop/db spec.egress[0]
  egress shop/db any allow: CiliumNetworkPolicy shop/db spec.egress[0]
  egress lab/client any allow: CiliumNetworkPolicy shop/db spec.egress[0]
  egress kube-system/dns any allow: CiliumNetworkPolicy shop/db spec.egress[0]
  egress node-a any allow: CiliumNetworkPolicy shop/db spec.egress[0]
  egress node-b-spot any allow: CiliumNetworkPolicy shop/db spec.egress[0]
