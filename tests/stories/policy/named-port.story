A name is the number the selected pod gives it: the two pods have different ones.
-- policies.yaml --
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: named-port
  namespace: shop
spec:
  podSelector: {matchExpressions: [{key: app, operator: In, values: [front, cart]}]}
  ingress:
  - from:
    - namespaceSelector: {}
    ports:
    - port: http
-- rules --
NetworkPolicy shop/named-port spec.ingress[0]
  ingress of {k8s:app in (cart front), k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {k8s:io.kubernetes.pod.namespace} on TCP/http
-- entries --
shop/front: ingress enforced, egress open
  ingress anybody any deny by default: NetworkPolicy shop/named-port
  ingress host any allow: Implicit allow-localhost [0]
  ingress shop/front TCP/8080 allow: NetworkPolicy shop/named-port spec.ingress[0]
  ingress shop/cart TCP/8080 allow: NetworkPolicy shop/named-port spec.ingress[0]
  ingress shop/db TCP/8080 allow: NetworkPolicy shop/named-port spec.ingress[0]
  ingress lab/client TCP/8080 allow: NetworkPolicy shop/named-port spec.ingress[0]
  ingress kube-system/dns TCP/8080 allow: NetworkPolicy shop/named-port spec.ingress[0]
shop/cart: ingress enforced, egress open
  ingress anybody any deny by default: NetworkPolicy shop/named-port
  ingress host any allow: Implicit allow-localhost [0]
  ingress shop/front TCP/7070 allow: NetworkPolicy shop/named-port spec.ingress[0]
  ingress shop/cart TCP/7070 allow: NetworkPolicy shop/named-port spec.ingress[0]
  ingress shop/db TCP/7070 allow: NetworkPolicy shop/named-port spec.ingress[0]
  ingress lab/client TCP/7070 allow: NetworkPolicy shop/named-port spec.ingress[0]
  ingress kube-system/dns TCP/7070 allow: NetworkPolicy shop/named-port spec.ingress[0]
