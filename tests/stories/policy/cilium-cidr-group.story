Prefixes of CiliumCIDRGroups, by name and by label, with holes, allowed and denied. A group that there is not means nobody.
-- policies.yaml --
apiVersion: cilium.io/v2
kind: CiliumCIDRGroup
metadata: {name: office, labels: {role: people}}
spec: {externalCIDRs: [203.0.113.0/24, "2001:db8:1::/48"]}
---
apiVersion: cilium.io/v2
kind: CiliumCIDRGroup
metadata: {name: vpn, labels: {role: people}}
spec: {externalCIDRs: [198.51.100.0/25]}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: groups, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: db}}
  ingress:
  - fromCIDRSet: [{cidrGroupRef: office, except: [203.0.113.64/26]}]
    toPorts: [{ports: [{port: "5432", protocol: TCP}]}]
  ingressDeny:
  - fromCIDRSet: [{cidrGroupRef: gone}]
  egress:
  - toCIDRSet: [{cidrGroupSelector: {matchLabels: {role: people}}}, {cidr: 192.0.2.0/24}]
  egressDeny:
  - toCIDRSet: [{cidrGroupSelector: {matchExpressions: [{key: role, operator: DoesNotExist}]}}]
-- rules --
CiliumNetworkPolicy shop/groups spec.ingress[0]
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow cidr:2001:db8:1::/48 or cidr:203.0.113.0/24 except 203.0.113.64/26 on TCP/5432
CiliumNetworkPolicy shop/groups spec.ingressDeny[0]
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  deny nobody on anything
CiliumNetworkPolicy shop/groups spec.egress[0]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow cidr:192.0.2.0/24 or cidr:198.51.100.0/25 or cidr:2001:db8:1::/48 or cidr:203.0.113.0/24 on anything
CiliumNetworkPolicy shop/groups spec.egressDeny[0]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  deny nobody on anything
-- entries --
shop/db: ingress enforced, egress enforced
  ingress anybody any deny by default: CiliumNetworkPolicy shop/groups
  ingress host any allow: Implicit allow-localhost [0]
  ingress 2001:db8:1::/48 TCP/5432 allow: CiliumNetworkPolicy shop/groups spec.ingress[0]
  ingress 203.0.113.0/24 TCP/5432 allow: CiliumNetworkPolicy shop/groups spec.ingress[0]
  egress anybody any deny by default: CiliumNetworkPolicy shop/groups
  egress 198.51.100.0/25 any allow: CiliumNetworkPolicy shop/groups spec.egress[0]
  egress 2001:db8:1::/48 any allow: CiliumNetworkPolicy shop/groups spec.egress[0]
  egress 192.0.2.0/24 any allow: CiliumNetworkPolicy shop/groups spec.egress[0]
  egress 203.0.113.0/24 any allow: CiliumNetworkPolicy shop/groups spec.egress[0]
  egress 203.0.113.64/26 any allow: CiliumNetworkPolicy shop/groups spec.egress[0]
-- refused --
spec.ingressDeny[0].fromCIDRSet[0]: CiliumCIDRGroup gone does not exist and selects nobody
spec.egressDeny[0].toCIDRSet[0]: no CiliumCIDRGroup has these labels and selects nobody
