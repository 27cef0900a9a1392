Entities on the way out, a port each, so that each shows whom it means.
-- policies.yaml --
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: out, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: db}}
  egress:
  - {toEntities: [world-ipv4], toPorts: [{ports: [{port: "1", protocol: TCP}]}]}
  - {toEntities: [world-ipv6], toPorts: [{ports: [{port: "2", protocol: TCP}]}]}
  - {toEntities: [host], toPorts: [{ports: [{port: "3", protocol: TCP}]}]}
  - {toEntities: [remote-node], toPorts: [{ports: [{port: "4", protocol: TCP}]}]}
  - {toEntities: [init, ingress, unmanaged, health], toPorts: [{ports: [{port: "5", protocol: TCP}]}]}
  - {toEntities: [cluster-mesh], toPorts: [{ports: [{port: "6", protocol: TCP}]}]}
  - {toEntities: [none], toPorts: [{ports: [{port: "7", protocol: TCP}]}]}
-- rules --
CiliumNetworkPolicy shop/out spec.egress[0]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow entity:world-ipv4 on TCP/1
CiliumNetworkPolicy shop/out spec.egress[1]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow entity:world-ipv6 on TCP/2
CiliumNetworkPolicy shop/out spec.egress[2]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow entity:host on TCP/3
CiliumNetworkPolicy shop/out spec.egress[3]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow entity:remote-node on TCP/4
CiliumNetworkPolicy shop/out spec.egress[4]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow entity:init or entity:ingress or entity:unmanaged or entity:health on TCP/5
CiliumNetworkPolicy shop/out spec.egress[5]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow entity:cluster-mesh on TCP/6
CiliumNetworkPolicy shop/out spec.egress[6]
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow entity:none on TCP/7
-- entries --
shop/db: ingress open, egress enforced
  egress anybody any deny by default: CiliumNetworkPolicy shop/out
  egress host TCP/3 allow: CiliumNetworkPolicy shop/out spec.egress[2]
  egress world TCP/1 allow: CiliumNetworkPolicy shop/out spec.egress[0]
  egress world TCP/2 allow: CiliumNetworkPolicy shop/out spec.egress[1]
  egress remote-node TCP/4 allow: CiliumNetworkPolicy shop/out spec.egress[3]
  egress kube-apiserver TCP/4 allow: CiliumNetworkPolicy shop/out spec.egress[3]
  egress world-ipv4 TCP/1 allow: CiliumNetworkPolicy shop/out spec.egress[0]
  egress world-ipv6 TCP/2 allow: CiliumNetworkPolicy shop/out spec.egress[1]
  egress node-a TCP/4 allow: CiliumNetworkPolicy shop/out spec.egress[3]
  egress node-b-spot TCP/4 allow: CiliumNetworkPolicy shop/out spec.egress[3]
