Ports without number; several protocols.
-- policies.yaml --
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: protocols
  namespace: shop
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from:
    - podSelector: {matchLabels: {app: cart}}
    ports:
    - {protocol: UDP}
    - {protocol: SCTP, port: 9}
    - {}
-- rules --
NetworkPolicy shop/protocols spec.ingress[0]
  ingress of {k8s:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {k8s:app=cart, k8s:io.kubernetes.pod.namespace=shop} on UDP SCTP/9 TCP
-- entries --
shop/db: ingress enforced, egress open
  ingress anybody any deny by default: NetworkPolicy shop/protocols
  ingress host any allow: Implicit allow-localhost [0]
  ingress shop/cart TCP allow: NetworkPolicy shop/protocols spec.ingress[0]
  ingress shop/cart UDP allow: NetworkPolicy shop/protocols spec.ingress[0]
  ingress shop/cart SCTP/9 allow: NetworkPolicy shop/protocols spec.ingress[0]
