A denial wins over what is allowed, at any width: the front may reach the database but for its SSH port, the world nothing of it.
-- policies.yaml --
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: db}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: front}}]
  - toPorts: [{ports: [{port: "5432", protocol: TCP}]}]
  ingressDeny:
  - toPorts: [{ports: [{port: "22", protocol: TCP}]}]
  - fromEntities: [world]
-- rules --
CiliumNetworkPolicy shop/db spec.ingress[0]
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {any:app=front, k8s:io.kubernetes.pod.namespace=shop} on anything
CiliumNetworkPolicy shop/db spec.ingress[1]
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow anybody on TCP/5432
CiliumNetworkPolicy shop/db spec.ingressDeny[0]
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  deny anybody on TCP/22
CiliumNetworkPolicy shop/db spec.ingressDeny[1]
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  deny entity:world on anything
-- entries --
shop/db: ingress enforced, egress open
  ingress anybody any deny by default: CiliumNetworkPolicy shop/db
  ingress anybody TCP/22 deny: CiliumNetworkPolicy shop/db spec.ingressDeny[0]
  ingress anybody TCP/5432 allow: CiliumNetworkPolicy shop/db spec.ingress[1]
  ingress host any allow: Implicit allow-localhost [0]
  ingress world any deny: CiliumNetworkPolicy shop/db spec.ingressDeny[1]
  ingress world-ipv4 any deny: CiliumNetworkPolicy shop/db spec.ingressDeny[1]
  ingress world-ipv6 any deny: CiliumNetworkPolicy shop/db spec.ingressDeny[1]
  ingress shop/front any allow: CiliumNetworkPolicy shop/db spec.ingress[0]
