A range becomes blocks.
-- policies.yaml --
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: port-range
  namespace: shop
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from:
    - podSelector: {}
    ports:
    - {port: 32000, endPort: 32768}
    - {port: 5432}
-- rules --
NetworkPolicy shop/port-range spec.ingress[0]
  ingress of {k8s:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {k8s:io.kubernetes.pod.namespace=shop} on TCP/32000-32768 TCP/5432
-- entries --
shop/db: ingress enforced, egress open
  ingress anybody any deny by default: NetworkPolicy shop/port-range
  ingress host any allow: Implicit allow-localhost [0]
  ingress shop/front TCP/5432 allow: NetworkPolicy shop/port-range spec.ingress[0]
  ingress shop/front TCP/31744-32767 allow: NetworkPolicy shop/port-range spec.ingress[0]
  ingress shop/front TCP/31744-31999 deny by default: NetworkPolicy shop/port-range
  ingress shop/front TCP/32768 allow: NetworkPolicy shop/port-range spec.ingress[0]
  ingress shop/cart TCP/5432 allow: NetworkPolicy shop/port-range spec.ingress[0]
  ingress shop/cart TCP/31744-32767 allow: NetworkPolicy shop/port-range spec.ingress[0]
  ingress shop/cart TCP/31744-31999 deny by default: NetworkPolicy shop/port-range
  ingress shop/cart TCP/32768 allow: NetworkPolicy shop/port-range spec.ingress[0]
  ingress shop/db TCP/5432 allow: NetworkPolicy shop/port-range spec.ingress[0]
  ingress shop/db TCP/31744-32767 allow: NetworkPolicy shop/port-range spec.ingress[0]
  ingress shop/db TCP/31744-31999 deny by default: NetworkPolicy shop/port-range
  ingress shop/db TCP/32768 allow: NetworkPolicy shop/port-range spec.ingress[0]
