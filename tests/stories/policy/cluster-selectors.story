ClusterNetworkPolicy: subjects and peers by labels and by expressions, protocols of every form, in both directions.
-- policies.yaml --
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: by-namespace}
spec:
  tier: Baseline
  priority: 1000
  subject: {namespaces: {matchExpressions: [{key: team, operator: In, values: [lab]}]}}
  ingress:
  - name: front
    action: Accept
    from:
    - pods:
        namespaceSelector: {matchLabels: {team: shop}, matchExpressions: [{key: team, operator: NotIn, values: [lab]}]}
        podSelector: {matchLabels: {app: front}, matchExpressions: [{key: app, operator: In, values: [front, cart]}]}
    - namespaces: {matchExpressions: [{key: team, operator: DoesNotExist}, {key: other, operator: NotIn, values: [x]}]}
    protocols:
    - {tcp: {destinationPort: {number: 443}}}
    - {udp: {destinationPort: {range: {start: 5000, end: 5003}}}}
    - {udp: {destinationPort: {number: 53}}}
    - {sctp: {destinationPort: {number: 7}}}
    - {sctp: {destinationPort: {range: {start: 8, end: 9}}}}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: by-pods}
spec:
  tier: Admin
  priority: 0
  subject:
    pods:
      namespaceSelector: {matchLabels: {team: shop}, matchExpressions: [{key: team, operator: In, values: [shop]}]}
      podSelector: {matchLabels: {app: db}, matchExpressions: [{key: app, operator: NotIn, values: [front]}]}
  egress:
  - name: nodes and networks
    action: Deny
    to:
    - nodes: {matchExpressions: [{key: zone, operator: In, values: [a]}]}
    - networks: [203.0.113.0/24]
    protocols:
    - {tcp: {destinationPort: {range: {start: 1, end: 1023}}}}
    - {udp: {destinationPort: {number: 53}}}
    - {udp: {destinationPort: {range: {start: 60, end: 70}}}}
    - {sctp: {destinationPort: {number: 7}}}
    - {sctp: {destinationPort: {range: {start: 8, end: 9}}}}
  - action: Accept
    to:
    - namespaces: {matchLabels: {team: shop}, matchExpressions: [{key: team, operator: In, values: [shop]}]}
    - pods:
        namespaceSelector: {matchLabels: {team: lab}, matchExpressions: [{key: team, operator: In, values: [lab]}, {key: team, operator: Exists}]}
        podSelector: {matchLabels: {app: client}, matchExpressions: [{key: app, operator: In, values: [client]}]}
    protocols: [{destinationNamedPort: http}]
  - action: Pass
    to: [{namespaces: {}}]
---
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {zone: a}}
status: {addresses: [{type: InternalIP, address: 172.18.0.2}]}
-- rules --
ClusterNetworkPolicy by-namespace spec.ingress[0] (front)
  ingress of {k8s:io.cilium.k8s.namespace.labels.team=lab, k8s:io.kubernetes.pod.namespace}, baseline 25000
  allow {k8s:app in (cart front), k8s:app=front, k8s:io.cilium.k8s.namespace.labels.team notin (lab), k8s:io.cilium.k8s.namespace.labels.team=shop, k8s:io.kubernetes.pod.namespace} or {!k8s:io.cilium.k8s.namespace.labels.team, k8s:io.cilium.k8s.namespace.labels.other notin (x), k8s:io.kubernetes.pod.namespace} on TCP/443 UDP/5000-5003 UDP/53 SCTP/7 SCTP/8-9
ClusterNetworkPolicy by-pods spec.egress[0] (nodes and networks)
  egress of {k8s:app notin (front), k8s:app=db, k8s:io.cilium.k8s.namespace.labels.team=shop, k8s:io.cilium.k8s.namespace.labels.team=shop, k8s:io.kubernetes.pod.namespace}, admin 0
  deny block:203.0.113.0/24 or block:172.18.0.2/32 on TCP/1-1023 UDP/53 UDP/60-70 SCTP/7 SCTP/8-9
ClusterNetworkPolicy by-pods spec.egress[1]
  egress of {k8s:app notin (front), k8s:app=db, k8s:io.cilium.k8s.namespace.labels.team=shop, k8s:io.cilium.k8s.namespace.labels.team=shop, k8s:io.kubernetes.pod.namespace}, admin 1
  allow {k8s:io.cilium.k8s.namespace.labels.team=shop, k8s:io.cilium.k8s.namespace.labels.team=shop, k8s:io.kubernetes.pod.namespace} or {k8s:app=client, k8s:app=client, k8s:io.cilium.k8s.namespace.labels.team, k8s:io.cilium.k8s.namespace.labels.team=lab, k8s:io.cilium.k8s.namespace.labels.team=lab, k8s:io.kubernetes.pod.namespace} on any/http
ClusterNetworkPolicy by-pods spec.egress[2]
  egress of {k8s:app notin (front), k8s:app=db, k8s:io.cilium.k8s.namespace.labels.team=shop, k8s:io.cilium.k8s.namespace.labels.team=shop, k8s:io.kubernetes.pod.namespace}, admin 2
  pass {k8s:io.kubernetes.pod.namespace} on anything
-- entries --
shop/db: ingress open, egress enforced
  egress anybody any allow by default
  egress shop/front any pass: ClusterNetworkPolicy by-pods spec.egress[2]
  egress shop/front TCP/8080 allow: ClusterNetworkPolicy by-pods spec.egress[1]
  egress shop/cart any pass: ClusterNetworkPolicy by-pods spec.egress[2]
  egress shop/cart TCP/7070 allow: ClusterNetworkPolicy by-pods spec.egress[1]
  egress shop/db any pass: ClusterNetworkPolicy by-pods spec.egress[2]
  egress lab/client any pass: ClusterNetworkPolicy by-pods spec.egress[2]
  egress kube-system/dns any pass: ClusterNetworkPolicy by-pods spec.egress[2]
  egress block 203.0.113.0/24 TCP/0-1023 deny: ClusterNetworkPolicy by-pods spec.egress[0] (nodes and networks)
  egress block 203.0.113.0/24 TCP/0 deny by default
  egress block 203.0.113.0/24 UDP/53 deny: ClusterNetworkPolicy by-pods spec.egress[0] (nodes and networks)
  egress block 203.0.113.0/24 UDP/60-63 deny: ClusterNetworkPolicy by-pods spec.egress[0] (nodes and networks)
  egress block 203.0.113.0/24 UDP/64-71 deny: ClusterNetworkPolicy by-pods spec.egress[0] (nodes and networks)
  egress block 203.0.113.0/24 UDP/71 deny by default
  egress block 203.0.113.0/24 SCTP/7 deny: ClusterNetworkPolicy by-pods spec.egress[0] (nodes and networks)
  egress block 203.0.113.0/24 SCTP/8-9 deny: ClusterNetworkPolicy by-pods spec.egress[0] (nodes and networks)
  egress block 172.18.0.2/32 TCP/0-1023 deny: ClusterNetworkPolicy by-pods spec.egress[0] (nodes and networks)
  egress block 172.18.0.2/32 TCP/0 deny by default
  egress block 172.18.0.2/32 UDP/53 deny: ClusterNetworkPolicy by-pods spec.egress[0] (nodes and networks)
  egress block 172.18.0.2/32 UDP/60-63 deny: ClusterNetworkPolicy by-pods spec.egress[0] (nodes and networks)
  egress block 172.18.0.2/32 UDP/64-71 deny: ClusterNetworkPolicy by-pods spec.egress[0] (nodes and networks)
  egress block 172.18.0.2/32 UDP/71 deny by default
  egress block 172.18.0.2/32 SCTP/7 deny: ClusterNetworkPolicy by-pods spec.egress[0] (nodes and networks)
  egress block 172.18.0.2/32 SCTP/8-9 deny: ClusterNetworkPolicy by-pods spec.egress[0] (nodes and networks)
  then egress anybody any allow by default
lab/client: ingress enforced, egress open
  ingress anybody any allow by default
  ingress host any allow: Implicit allow-localhost [0]
  ingress shop/front TCP/443 allow: ClusterNetworkPolicy by-namespace spec.ingress[0] (front)
  ingress shop/front UDP/53 allow: ClusterNetworkPolicy by-namespace spec.ingress[0] (front)
  ingress shop/front UDP/5000-5003 allow: ClusterNetworkPolicy by-namespace spec.ingress[0] (front)
  ingress shop/front SCTP/7 allow: ClusterNetworkPolicy by-namespace spec.ingress[0] (front)
  ingress shop/front SCTP/8-9 allow: ClusterNetworkPolicy by-namespace spec.ingress[0] (front)
  ingress kube-system/dns TCP/443 allow: ClusterNetworkPolicy by-namespace spec.ingress[0] (front)
  ingress kube-system/dns UDP/53 allow: ClusterNetworkPolicy by-namespace spec.ingress[0] (front)
  ingress kube-system/dns UDP/5000-5003 allow: ClusterNetworkPolicy by-namespace spec.ingress[0] (front)
  ingress kube-system/dns SCTP/7 allow: ClusterNetworkPolicy by-namespace spec.ingress[0] (front)
  ingress kube-system/dns SCTP/8-9 allow: ClusterNetworkPolicy by-namespace spec.ingress[0] (front)
