An empty rule is for anybody; the pods count as isolated all the same.
-- policies.yaml --
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-all-ingress
  namespace: shop
spec:
  podSelector: {matchLabels: {app: front}}
  ingress:
  - {}
-- rules --
NetworkPolicy shop/allow-all-ingress spec.ingress[0]
  ingress of {k8s:app=front, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow anybody on anything
-- entries --
shop/front: ingress enforced, egress open
  ingress anybody any allow: NetworkPolicy shop/allow-all-ingress spec.ingress[0]
