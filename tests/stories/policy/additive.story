Policies add up: what one of them allows is allowed, and each entry names the rules that say so.
-- policies.yaml --
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: isolate, namespace: shop}
spec:
  podSelector: {}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: front-anything, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: front}}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: sql-for-all, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - ports: [{port: 5432}]
-- rules --
NetworkPolicy shop/isolate spec
  ingress of {k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow nobody on anything
NetworkPolicy shop/front-anything spec.ingress[0]
  ingress of {k8s:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {k8s:app=front, k8s:io.kubernetes.pod.namespace=shop} on anything
NetworkPolicy shop/sql-for-all spec.ingress[0]
  ingress of {k8s:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow anybody on TCP/5432
-- entries --
shop/front: ingress enforced, egress open
  ingress anybody any deny by default: NetworkPolicy shop/isolate
  ingress host any allow: Implicit allow-localhost [0]
shop/cart: ingress enforced, egress open
  ingress anybody any deny by default: NetworkPolicy shop/isolate
  ingress host any allow: Implicit allow-localhost [0]
shop/db: ingress enforced, egress open
  ingress anybody any deny by default: NetworkPolicy shop/front-anything + NetworkPolicy shop/isolate + NetworkPolicy shop/sql-for-all
  ingress anybody TCP/5432 allow: NetworkPolicy shop/sql-for-all spec.ingress[0]
  ingress host any allow: Implicit allow-localhost [0]
  ingress shop/front any allow: NetworkPolicy shop/front-anything spec.ingress[0]
