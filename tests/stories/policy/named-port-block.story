A port's name in a block of addresses: nobody here says which pods are in it, so the name means nothing, and nobody gets more than was said.
-- policies.yaml --
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: out, namespace: shop}
spec:
  podSelector: {matchLabels: {app: front}}
  policyTypes: [Egress]
  egress:
  - to: [{ipBlock: {cidr: 10.0.0.0/8}}]
    ports: [{port: http}, {port: 443}]
-- rules --
NetworkPolicy shop/out spec.egress[0]
  egress of {k8s:app=front, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow block:10.0.0.0/8 on TCP/http TCP/443
-- entries --
shop/front: ingress open, egress enforced
  egress anybody any deny by default: NetworkPolicy shop/out
  egress block 10.0.0.0/8 TCP/443 allow: NetworkPolicy shop/out spec.egress[0]
