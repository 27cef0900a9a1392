Selectors with labels and with expressions, wherever a Cilium policy has one: allowed and denied, in and out.
-- policies.yaml --
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: ingress, namespace: shop}
spec:
  endpointSelector: {matchExpressions: [{key: app, operator: In, values: [db]}]}
  ingress:
  - fromEndpoints: [{matchExpressions: [{key: app, operator: In, values: [front]}]}]
  - fromNodes: [{matchExpressions: [{key: zone, operator: NotIn, values: [a]}]}]
  - fromCIDR: [192.0.2.0/24]
  - fromCIDRSet:
    - {cidr: 203.0.113.0/24, except: [203.0.113.64/26]}
    - {cidrGroupRef: gone}
    - {cidrGroupSelector: {matchLabels: {role: people}, matchExpressions: [{key: role, operator: In, values: [people]}]}}
  ingressDeny:
  - fromEndpoints: [{matchLabels: {app: cart}, matchExpressions: [{key: app, operator: NotIn, values: [front]}]}]
  - fromNodes: [{matchLabels: {zone: b}, matchExpressions: [{key: zone, operator: In, values: [b]}]}]
  - fromCIDR: ["2001:db8:2::/48"]
  - fromCIDRSet:
    - {cidr: "2001:db8::/32", except: ["2001:db8:1::/48"]}
    - {cidrGroupRef: office}
    - {cidrGroupSelector: {matchLabels: {role: people}, matchExpressions: [{key: role, operator: Exists}, {key: role, operator: In, values: [nobody]}]}}
  - toPorts: [{ports: [{port: "6000", endPort: 6063, protocol: TCP}]}]
  - icmps: [{fields: [{family: IPv6, type: RedirectMessage}]}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: egress, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: db}}
  egress:
  - toEndpoints: [{matchLabels: {app: front}, matchExpressions: [{key: app, operator: In, values: [front]}]}]
  - toNodes: [{matchLabels: {zone: a}, matchExpressions: [{key: zone, operator: In, values: [a]}]}]
  - toCIDRSet:
    - {cidrGroupRef: office}
    - {cidrGroupSelector: {matchExpressions: [{key: role, operator: In, values: [people]}]}}
    - {cidr: 198.51.100.0/24, except: [198.51.100.7/32]}
  - toServices:
    - k8sServiceSelector:
        selector: {matchLabels: {tier: data}, matchExpressions: [{key: tier, operator: In, values: [data]}]}
        namespace: shop
  - icmps: [{fields: [{family: IPv4, type: Timestamp}]}]
  egressDeny:
  - toEndpoints: [{matchLabels: {app: cart}, matchExpressions: [{key: app, operator: In, values: [cart]}]}]
  - toNodes: [{matchLabels: {zone: b}, matchExpressions: [{key: zone, operator: In, values: [b]}]}]
  - toCIDRSet:
    - {cidrGroupRef: office}
    - {cidrGroupSelector: {matchLabels: {role: none}, matchExpressions: [{key: role, operator: NotIn, values: [people]}]}}
    - {cidr: 203.0.113.0/24, except: [203.0.113.5/32]}
  - toServices: [{k8sService: {serviceName: archive, namespace: shop}}]
  - toServices:
    - k8sServiceSelector:
        selector: {matchLabels: {tier: data}, matchExpressions: [{key: tier, operator: NotIn, values: [data]}]}
        namespace: shop
  - toPorts: [{ports: [{port: "8000", endPort: 8003, protocol: TCP}]}]
  - icmps: [{fields: [{family: IPv4, type: 13}]}]
---
apiVersion: cilium.io/v2
kind: CiliumCIDRGroup
metadata: {name: office, labels: {role: people}}
spec: {externalCIDRs: [192.0.2.128/25]}
---
apiVersion: v1
kind: Service
metadata: {name: archive, namespace: shop, labels: {tier: data}}
spec: {selector: {app: cart}, ports: [{port: 443}]}
-- rules --
CiliumNetworkPolicy shop/ingress spec.ingress[0]
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {any:app=front, k8s:io.kubernetes.pod.namespace=shop} on anything
CiliumNetworkPolicy shop/ingress spec.ingress[1]
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {any:zone notin (a), reserved:remote-node} on anything
CiliumNetworkPolicy shop/ingress spec.ingress[2]
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow cidr:192.0.2.0/24 on anything
CiliumNetworkPolicy shop/ingress spec.ingress[3]
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow cidr:203.0.113.0/24 except 203.0.113.64/26 or cidr:192.0.2.128/25 on anything
CiliumNetworkPolicy shop/ingress spec.ingressDeny[0]
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  deny {any:app notin (front), any:app=cart, k8s:io.kubernetes.pod.namespace=shop} on anything
CiliumNetworkPolicy shop/ingress spec.ingressDeny[1]
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  deny {any:zone=b, any:zone=b, reserved:remote-node} on anything
CiliumNetworkPolicy shop/ingress spec.ingressDeny[2]
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  deny cidr:2001:db8:2::/48 on anything
CiliumNetworkPolicy shop/ingress spec.ingressDeny[3]
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  deny cidr:2001:db8::/32 except 2001:db8:1::/48 or cidr:192.0.2.128/25 on anything
CiliumNetworkPolicy shop/ingress spec.ingressDeny[4]
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  deny anybody on TCP/6000-6063
CiliumNetworkPolicy shop/ingress spec.ingressDeny[5]
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  deny anybody on ICMPv6/137
CiliumNetworkPolicy shop/egress spec.egress[0]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {any:app=front, any:app=front, k8s:io.kubernetes.pod.namespace=shop} on anything
CiliumNetworkPolicy shop/egress spec.egress[1]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {any:zone=a, any:zone=a, reserved:remote-node} on anything
CiliumNetworkPolicy shop/egress spec.egress[2]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow cidr:198.51.100.0/24 except 198.51.100.7/32 or cidr:192.0.2.128/25 or cidr:192.0.2.128/25 on anything
CiliumNetworkPolicy shop/egress spec.egress[3]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {k8s:app=cart, k8s:io.kubernetes.pod.namespace=shop} on anything
CiliumNetworkPolicy shop/egress spec.egress[4]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow anybody on ICMP/13
CiliumNetworkPolicy shop/egress spec.egressDeny[0]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  deny {any:app=cart, any:app=cart, k8s:io.kubernetes.pod.namespace=shop} on anything
CiliumNetworkPolicy shop/egress spec.egressDeny[1]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  deny {any:zone=b, any:zone=b, reserved:remote-node} on anything
CiliumNetworkPolicy shop/egress spec.egressDeny[2]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  deny cidr:203.0.113.0/24 except 203.0.113.5/32 or cidr:192.0.2.128/25 on anything
CiliumNetworkPolicy shop/egress spec.egressDeny[3]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  deny {k8s:app=cart, k8s:io.kubernetes.pod.namespace=shop} on anything
CiliumNetworkPolicy shop/egress spec.egressDeny[4]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  deny nobody on anything
CiliumNetworkPolicy shop/egress spec.egressDeny[5]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  deny anybody on TCP/8000-8003
CiliumNetworkPolicy shop/egress spec.egressDeny[6]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  deny anybody on ICMP/13
-- entries --
shop/db: ingress enforced, egress enforced
  ingress anybody any deny by default: CiliumNetworkPolicy shop/ingress
  ingress anybody TCP/6000-6015 deny: CiliumNetworkPolicy shop/ingress spec.ingressDeny[4]
  ingress anybody TCP/6016-6079 deny: CiliumNetworkPolicy shop/ingress spec.ingressDeny[4]
  ingress anybody TCP/6064-6079 deny by default: CiliumNetworkPolicy shop/ingress
  ingress anybody ICMPv6/137 deny: CiliumNetworkPolicy shop/ingress spec.ingressDeny[5]
  ingress host any allow: Implicit allow-localhost [0]
  ingress remote-node any allow: CiliumNetworkPolicy shop/ingress spec.ingress[1]
  ingress kube-apiserver any allow: CiliumNetworkPolicy shop/ingress spec.ingress[1]
  ingress shop/front any allow: CiliumNetworkPolicy shop/ingress spec.ingress[0]
  ingress shop/cart any deny: CiliumNetworkPolicy shop/ingress spec.ingressDeny[0]
  ingress 2001:db8:2::/48 any deny: CiliumNetworkPolicy shop/ingress spec.ingressDeny[2] + CiliumNetworkPolicy shop/ingress spec.ingressDeny[3]
  ingress 192.0.2.0/24 any allow: CiliumNetworkPolicy shop/ingress spec.ingress[2]
  ingress 203.0.113.0/24 any allow: CiliumNetworkPolicy shop/ingress spec.ingress[3]
  ingress 2001:db8::/32 any deny: CiliumNetworkPolicy shop/ingress spec.ingressDeny[3]
  ingress 192.0.2.128/25 any deny: CiliumNetworkPolicy shop/ingress spec.ingressDeny[3]
  ingress 203.0.113.5/32 any allow: CiliumNetworkPolicy shop/ingress spec.ingress[3]
  ingress node-b-spot any deny: CiliumNetworkPolicy shop/ingress spec.ingressDeny[1]
  egress anybody any deny by default: CiliumNetworkPolicy shop/egress
  egress anybody ICMP/13 deny: CiliumNetworkPolicy shop/egress spec.egressDeny[6]
  egress anybody TCP/8000-8003 deny: CiliumNetworkPolicy shop/egress spec.egressDeny[5]
  egress shop/front any allow: CiliumNetworkPolicy shop/egress spec.egress[0]
  egress shop/cart any deny: CiliumNetworkPolicy shop/egress spec.egressDeny[0] + CiliumNetworkPolicy shop/egress spec.egressDeny[3]
  egress 203.0.113.0/24 any deny: CiliumNetworkPolicy shop/egress spec.egressDeny[2]
  egress 198.51.100.0/24 any allow: CiliumNetworkPolicy shop/egress spec.egress[2]
  egress 192.0.2.128/25 any deny: CiliumNetworkPolicy shop/egress spec.egressDeny[2]
  egress 203.0.113.64/26 any deny: CiliumNetworkPolicy shop/egress spec.egressDeny[2]
  egress node-a any allow: CiliumNetworkPolicy shop/egress spec.egress[1]
  egress node-b-spot any deny: CiliumNetworkPolicy shop/egress spec.egressDeny[1]
-- refused --
spec.ingress[3].fromCIDRSet[1]: CiliumCIDRGroup gone does not exist and selects nobody
spec.ingressDeny[3].fromCIDRSet[2]: no CiliumCIDRGroup has these labels and selects nobody
spec.egressDeny[2].toCIDRSet[1]: no CiliumCIDRGroup has these labels and selects nobody
spec.egressDeny[4].toServices[0]: no Service has these labels and selects nobody
