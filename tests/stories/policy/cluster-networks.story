Networks and nodes are addresses, whoever has them, in every tier: passes lead to a second round of look-ups.
-- policies.yaml --
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {zone: a}}
status: {addresses: [{type: InternalIP, address: 172.18.0.2}, {type: Hostname, address: n1}]}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: egress}
spec:
  tier: Admin
  priority: 10
  subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: front}}}}
  egress:
  - action: Accept
    to: [{nodes: {matchLabels: {zone: a}}}]
    protocols: [{tcp: {destinationPort: {number: 10250}}}]
  - action: Pass
    to: [{namespaces: {}}, {networks: [10.1.0.0/16]}]
  - action: Deny
    to: [{networks: [0.0.0.0/0, "::/0"]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: front, namespace: shop}
spec:
  podSelector: {matchLabels: {app: front}}
  policyTypes: [Egress]
  egress:
  - to: [{ipBlock: {cidr: 10.0.0.0/8}}]
    ports: [{port: 80}]
-- rules --
ClusterNetworkPolicy egress spec.egress[0]
  egress of {k8s:app=front, k8s:io.kubernetes.pod.namespace}, admin 250
  allow block:172.18.0.2/32 on TCP/10250
ClusterNetworkPolicy egress spec.egress[1]
  egress of {k8s:app=front, k8s:io.kubernetes.pod.namespace}, admin 251
  pass {k8s:io.kubernetes.pod.namespace} or block:10.1.0.0/16 on anything
ClusterNetworkPolicy egress spec.egress[2]
  egress of {k8s:app=front, k8s:io.kubernetes.pod.namespace}, admin 252
  deny block:0.0.0.0/0 or block:::/0 on anything
NetworkPolicy shop/front spec.egress[0]
  egress of {k8s:app=front, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow block:10.0.0.0/8 on TCP/80
-- entries --
shop/front: ingress open, egress enforced
  egress anybody any deny by default: NetworkPolicy shop/front
  egress shop/front any pass: ClusterNetworkPolicy egress spec.egress[1]
  egress shop/cart any pass: ClusterNetworkPolicy egress spec.egress[1]
  egress shop/db any pass: ClusterNetworkPolicy egress spec.egress[1]
  egress lab/client any pass: ClusterNetworkPolicy egress spec.egress[1]
  egress kube-system/dns any pass: ClusterNetworkPolicy egress spec.egress[1]
  egress block 10.1.0.0/16 any pass: ClusterNetworkPolicy egress spec.egress[1]
  egress block 172.18.0.2/32 any deny: ClusterNetworkPolicy egress spec.egress[2]
  egress block 172.18.0.2/32 TCP/10250 allow: ClusterNetworkPolicy egress spec.egress[0]
  egress block ::/0 any deny: ClusterNetworkPolicy egress spec.egress[2]
  egress block 0.0.0.0/0 any deny: ClusterNetworkPolicy egress spec.egress[2]
  egress block 10.0.0.0/8 any deny: ClusterNetworkPolicy egress spec.egress[2]
  then egress anybody any deny by default: NetworkPolicy shop/front
  then egress block 10.1.0.0/16 TCP/80 allow: NetworkPolicy shop/front spec.egress[0]
  then egress block 10.0.0.0/8 TCP/80 allow: NetworkPolicy shop/front spec.egress[0]
