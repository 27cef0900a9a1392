Nobody reaches the pods of a namespace, but their own node.
-- policies.yaml --
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: deny-all-ingress
  namespace: shop
spec:
  podSelector: {}
  policyTypes: [Ingress]
-- rules --
NetworkPolicy shop/deny-all-ingress spec
  ingress of {k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow nobody on anything
-- entries --
shop/front: ingress enforced, egress open
  ingress anybody any deny by default: NetworkPolicy shop/deny-all-ingress
  ingress host any allow: Implicit allow-localhost [0]
shop/cart: ingress enforced, egress open
  ingress anybody any deny by default: NetworkPolicy shop/deny-all-ingress
  ingress host any allow: Implicit allow-localhost [0]
shop/db: ingress enforced, egress open
  ingress anybody any deny by default: NetworkPolicy shop/deny-all-ingress
  ingress host any allow: Implicit allow-localhost [0]
