What the proxy has to judge is refused as a whole, and so is what the API does not take.
-- policies.yaml --
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: names}
spec:
  tier: Admin
  priority: 10
  subject: {namespaces: {}}
  egress:
  - action: Deny
    to: [{namespaces: {}}]
  - action: Accept
    to: [{domainNames: ["*.example.com"]}]
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: ports}
spec:
  tier: Baseline
  priority: 10
  subject: {namespaces: {}}
  egress:
  - action: Deny
    to: [{networks: [192.0.2.0/24]}]
    protocols: [{destinationNamedPort: web}]
-- rules --
-- entries --
-- refused --
ClusterNetworkPolicy names: spec.egress[1].to[0].domainNames: needs the DNS proxy, which this version does not have
ClusterNetworkPolicy ports: spec.egress[0].protocols[0].destinationNamedPort: can't stand beside to[0].networks, whose ports have no names
