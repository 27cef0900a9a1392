Policies about the node itself: by its Node's labels, never a pod; one object may speak of both.
-- policies.yaml --
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: workers}
spec:
  nodeSelector:
    matchLabels: {role: worker}
    matchExpressions: [{key: zone, operator: In, values: [a, b]}]
  enableDefaultDeny: {ingress: true, egress: false}
  ingress:
  - fromEntities: [cluster]
    toPorts: [{ports: [{port: "10250", protocol: TCP}]}]
  - fromCIDR: [192.0.2.0/24]
    toPorts: [{ports: [{port: "22", protocol: TCP}]}]
  egressDeny:
  - toEndpoints: [{matchLabels: {app: db}}]
---
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: both}
specs:
- nodeSelector: {matchLabels: {role: control-plane}}
  ingress: [{fromEntities: [world]}]
- endpointSelector: {matchLabels: {app: db}}
  ingress: [{fromEntities: [host]}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: not-in-a-namespace, namespace: shop}
spec:
  nodeSelector: {}
  ingress: [{}]
-- rules --
CiliumClusterwideNetworkPolicy workers spec.ingress[0]
  ingress of {any:role=worker, any:zone in (a b), reserved:host}, isolated
  allow entity:cluster on TCP/10250
CiliumClusterwideNetworkPolicy workers spec.ingress[1]
  ingress of {any:role=worker, any:zone in (a b), reserved:host}, isolated
  allow cidr:192.0.2.0/24 on TCP/22
CiliumClusterwideNetworkPolicy workers spec.egressDeny[0]
  egress of {any:role=worker, any:zone in (a b), reserved:host}
  deny {any:app=db, k8s:io.kubernetes.pod.namespace} on anything
CiliumClusterwideNetworkPolicy both specs[0].ingress[0]
  ingress of {any:role=control-plane, reserved:host}, isolated
  allow entity:world on anything
CiliumClusterwideNetworkPolicy both specs[1].ingress[0]
  ingress of {any:app=db}, isolated
  allow entity:host on anything
-- entries --
host: ingress enforced, egress enforced
  ingress anybody any deny by default: CiliumClusterwideNetworkPolicy workers
  ingress host any allow: Implicit allow-localhost [0]
  ingress remote-node TCP/10250 allow: CiliumClusterwideNetworkPolicy workers spec.ingress[0]
  ingress kube-apiserver TCP/10250 allow: CiliumClusterwideNetworkPolicy workers spec.ingress[0]
  ingress shop/front TCP/10250 allow: CiliumClusterwideNetworkPolicy workers spec.ingress[0]
  ingress shop/cart TCP/10250 allow: CiliumClusterwideNetworkPolicy workers spec.ingress[0]
  ingress shop/db TCP/10250 allow: CiliumClusterwideNetworkPolicy workers spec.ingress[0]
  ingress lab/client TCP/10250 allow: CiliumClusterwideNetworkPolicy workers spec.ingress[0]
  ingress kube-system/dns TCP/10250 allow: CiliumClusterwideNetworkPolicy workers spec.ingress[0]
  ingress 192.0.2.0/24 TCP/22 allow: CiliumClusterwideNetworkPolicy workers spec.ingress[1]
  ingress node-a TCP/10250 allow: CiliumClusterwideNetworkPolicy workers spec.ingress[0]
  ingress node-b-spot TCP/10250 allow: CiliumClusterwideNetworkPolicy workers spec.ingress[0]
  egress anybody any allow by default
  egress shop/db any deny: CiliumClusterwideNetworkPolicy workers spec.egressDeny[0]
shop/db: ingress enforced, egress open
  ingress anybody any deny by default: CiliumClusterwideNetworkPolicy both
  ingress host any allow: CiliumClusterwideNetworkPolicy both specs[1].ingress[0] + Implicit allow-localhost [0]
-- refused --
CiliumNetworkPolicy shop/not-in-a-namespace: spec.nodeSelector: is for a CiliumClusterwideNetworkPolicy: nodes have no namespace
