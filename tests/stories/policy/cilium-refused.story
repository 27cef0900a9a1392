Fields that this version does not enforce, or that the API has no more: each refuses the object as a whole.
-- policies.yaml --
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: from-groups, namespace: shop}
spec:
  endpointSelector: {}
  ingress: [{fromGroups: [{aws: {region: eu}}]}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: from-groups-deny, namespace: shop}
spec:
  endpointSelector: {}
  ingressDeny: [{fromGroups: [{aws: {region: eu}}]}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: to-groups, namespace: shop}
spec:
  endpointSelector: {}
  egress: [{toGroups: [{aws: {region: eu}}]}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: to-groups-deny, namespace: shop}
spec:
  endpointSelector: {}
  egressDeny: [{toGroups: [{aws: {region: eu}}]}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: from-requires, namespace: shop}
spec:
  endpointSelector: {}
  ingress: [{fromRequires: [{matchLabels: {app: front}}]}]
  ingressDeny: [{fromRequires: [{matchLabels: {app: front}}]}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: to-requires, namespace: shop}
spec:
  endpointSelector: {}
  egress: [{toRequires: [{matchLabels: {app: front}}]}]
  egressDeny: [{toRequires: [{matchLabels: {app: front}}]}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: dns-on-the-way-in, namespace: shop}
spec:
  endpointSelector: {}
  ingress: [{toPorts: [{ports: [{port: "53", protocol: UDP}], rules: {dns: [{matchName: api.example}, {matchPattern: "*"}]}}]}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: listener-on-the-way-in, namespace: shop}
spec:
  endpointSelector: {}
  ingress: [{toPorts: [{ports: [{port: "80", protocol: TCP}], listener: {envoyConfig: {kind: CiliumEnvoyConfig, name: e}, name: l, priority: 1}}]}]
-- rules --
-- entries --
-- refused --
CiliumNetworkPolicy shop/from-groups: spec.ingress[0].fromGroups: is not enforced by this version
CiliumNetworkPolicy shop/from-groups-deny: spec.ingressDeny[0].fromGroups: is not enforced by this version
CiliumNetworkPolicy shop/to-groups: spec.egress[0].toGroups: is not enforced by this version
CiliumNetworkPolicy shop/to-groups-deny: spec.egressDeny[0].toGroups: is not enforced by this version
CiliumNetworkPolicy shop/from-requires: spec.ingress[0].fromRequires: is not supported by the API any more
CiliumNetworkPolicy shop/to-requires: spec.egress[0].toRequires: is not supported by the API any more
CiliumNetworkPolicy shop/dns-on-the-way-in: spec.ingress[0].toPorts[0].rules.dns: is for egress only
CiliumNetworkPolicy shop/listener-on-the-way-in: spec.ingress[0].toPorts[0].listener: is for egress only
