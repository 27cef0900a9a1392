Other nodes, by their labels; the own node is the host, which nodes never mean. Entities and nodes are the same identities seen twice.
-- policies.yaml --
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: nodes, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: db}}
  ingress:
  - fromNodes: [{matchLabels: {zone: a}}]
    toPorts: [{ports: [{port: "9100", protocol: TCP}]}]
  ingressDeny:
  - fromNodes: [{matchExpressions: [{key: spot, operator: Exists}]}]
  egress:
  - toNodes: [{}]
    toPorts: [{ports: [{port: "10250", protocol: TCP}]}]
  - toEntities: [kube-apiserver]
    toPorts: [{ports: [{port: "6443", protocol: TCP}]}]
-- rules --
CiliumNetworkPolicy shop/nodes spec.ingress[0]
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {any:zone=a, reserved:remote-node} on TCP/9100
CiliumNetworkPolicy shop/nodes spec.ingressDeny[0]
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  deny {any:spot, reserved:remote-node} on anything
CiliumNetworkPolicy shop/nodes spec.egress[0]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {reserved:remote-node} on TCP/10250
CiliumNetworkPolicy shop/nodes spec.egress[1]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow entity:kube-apiserver on TCP/6443
-- entries --
shop/db: ingress enforced, egress enforced
  ingress anybody any deny by default: CiliumNetworkPolicy shop/nodes
  ingress host any allow: Implicit allow-localhost [0]
  ingress node-a TCP/9100 allow: CiliumNetworkPolicy shop/nodes spec.ingress[0]
  ingress node-b-spot any deny: CiliumNetworkPolicy shop/nodes spec.ingressDeny[0]
  egress anybody any deny by default: CiliumNetworkPolicy shop/nodes
  egress remote-node TCP/10250 allow: CiliumNetworkPolicy shop/nodes spec.egress[0]
  egress kube-apiserver TCP/6443 allow: CiliumNetworkPolicy shop/nodes spec.egress[1]
  egress kube-apiserver TCP/10250 allow: CiliumNetworkPolicy shop/nodes spec.egress[0]
  egress node-a TCP/10250 allow: CiliumNetworkPolicy shop/nodes spec.egress[0]
  egress node-b-spot TCP/10250 allow: CiliumNetworkPolicy shop/nodes spec.egress[0]
