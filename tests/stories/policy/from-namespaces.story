Pods of other namespaces: any, by label, and by both selectors at once.
-- policies.yaml --
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: from-namespaces
  namespace: shop
spec:
  podSelector: {matchLabels: {app: cart}}
  ingress:
  - from:
    - namespaceSelector: {matchLabels: {team: lab}}
  - from:
    - namespaceSelector: {}
      podSelector: {matchLabels: {app: front}}
    ports:
    - port: 9090
-- rules --
NetworkPolicy shop/from-namespaces spec.ingress[0]
  ingress of {k8s:app=cart, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {k8s:io.cilium.k8s.namespace.labels.team=lab, k8s:io.kubernetes.pod.namespace} on anything
NetworkPolicy shop/from-namespaces spec.ingress[1]
  ingress of {k8s:app=cart, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {k8s:app=front, k8s:io.kubernetes.pod.namespace} on TCP/9090
-- entries --
shop/cart: ingress enforced, egress open
  ingress anybody any deny by default: NetworkPolicy shop/from-namespaces
  ingress host any allow: Implicit allow-localhost [0]
  ingress shop/front TCP/9090 allow: NetworkPolicy shop/from-namespaces spec.ingress[1]
  ingress lab/client any allow: NetworkPolicy shop/from-namespaces spec.ingress[0]
