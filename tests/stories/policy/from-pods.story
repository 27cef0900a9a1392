Pods of the own namespace, on one port.
-- policies.yaml --
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: from-pods
  namespace: shop
spec:
  podSelector: {matchLabels: {app: cart}}
  ingress:
  - from:
    - podSelector: {matchLabels: {app: front}}
    ports:
    - port: 7070
-- rules --
NetworkPolicy shop/from-pods spec.ingress[0]
  ingress of {k8s:app=cart, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {k8s:app=front, k8s:io.kubernetes.pod.namespace=shop} on TCP/7070
-- entries --
shop/cart: ingress enforced, egress open
  ingress anybody any deny by default: NetworkPolicy shop/from-pods
  ingress host any allow: Implicit allow-localhost [0]
  ingress shop/front TCP/7070 allow: NetworkPolicy shop/from-pods spec.ingress[0]
