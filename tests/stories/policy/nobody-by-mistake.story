A selector that matches no pod allows nobody.
-- policies.yaml --
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: nobody-by-mistake
  namespace: shop
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from:
    - podSelector: {matchLabels: {app: nothing}}
-- rules --
NetworkPolicy shop/nobody-by-mistake spec.ingress[0]
  ingress of {k8s:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {k8s:app=nothing, k8s:io.kubernetes.pod.namespace=shop} on anything
-- entries --
shop/db: ingress enforced, egress open
  ingress anybody any deny by default: NetworkPolicy shop/nobody-by-mistake
  ingress host any allow: Implicit allow-localhost [0]
