A block that is no prefix is refused with its place, also where it has holes.
-- policies.yaml --
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{ipBlock: {cidr: 10.0.0.0/-1, except: [10.1.0.0/16]}}]
-- rules --
-- entries --
-- refused --
NetworkPolicy shop/db: spec.ingress[0].from[0].ipBlock.cidr: "10.0.0.0/-1" is not a CIDR prefix
