Nobody reaches the database and it reaches nobody.
-- policies.yaml --
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: deny-all
  namespace: shop
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress, Egress]
-- rules --
NetworkPolicy shop/deny-all spec
  ingress of {k8s:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow nobody on anything
NetworkPolicy shop/deny-all spec
  egress of {k8s:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow nobody on anything
-- entries --
shop/db: ingress enforced, egress enforced
  ingress anybody any deny by default: NetworkPolicy shop/deny-all
  ingress host any allow: Implicit allow-localhost [0]
  egress anybody any deny by default: NetworkPolicy shop/deny-all
