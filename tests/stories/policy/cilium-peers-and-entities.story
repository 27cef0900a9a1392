Every entity on both sides, selectors with a source, a namespace, a service account and a cluster, and a namespace that is not the policy's own.
-- policies.yaml --
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: entities, namespace: shop}
spec:
  description: one of each
  labels: [{key: team, source: k8s, value: web}]
  log: {value: seen}
  endpointSelector: {matchLabels: {app: db, "k8s:io.kubernetes.pod.namespace": lab}}
  ingress:
  - fromEntities: [world-ipv4, host, init, ingress, unmanaged, remote-node, health, none]
    toPorts: [{ports: [{port: "1", protocol: TCP}]}]
  - fromEntities: [kube-apiserver, cluster-mesh]
    toPorts: [{ports: [{port: "2", protocol: TCP}]}]
  ingressDeny:
  - fromEntities: [world-ipv6]
  egress:
  - toEntities: [all]
    toPorts: [{ports: [{port: "3", protocol: UDP}]}]
  - toEntities: [cluster]
    toPorts: [{ports: [{port: "4", protocol: SCTP}]}]
  egressDeny:
  - toEntities: [world]
    toPorts: [{ports: [{port: "3", protocol: UDP}]}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: selectors, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: cart}}
  enableDefaultDeny: {egress: false}
  ingress:
  - fromEndpoints:
    - matchLabels: {"k8s:app": front}
    - matchLabels: {"any:app": client, "k8s:io.kubernetes.pod.namespace": lab}
    - matchLabels: {"k8s:io.cilium.k8s.namespace.labels.team": lab}
    - matchLabels: {"reserved:host": ""}
    - matchLabels: {"k8s:io.cilium.k8s.policy.serviceaccount": nobody}
    - matchExpressions: [{key: "k8s:io.cilium.k8s.policy.cluster", operator: NotIn, values: [other]}, {key: app, operator: In, values: [db]}]
  egressDeny:
  - toEndpoints: [{matchExpressions: [{key: app, operator: Exists}]}]
    toPorts: [{ports: [{port: http, protocol: ANY}]}]
-- rules --
CiliumNetworkPolicy shop/entities spec.ingress[0] (log: seen)
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow entity:world-ipv4 or entity:host or entity:init or entity:ingress or entity:unmanaged or entity:remote-node or entity:health or entity:none on TCP/1
CiliumNetworkPolicy shop/entities spec.ingress[1] (log: seen)
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow entity:kube-apiserver or entity:cluster-mesh on TCP/2
CiliumNetworkPolicy shop/entities spec.ingressDeny[0] (log: seen)
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  deny entity:world-ipv6 on anything
CiliumNetworkPolicy shop/entities spec.egress[0] (log: seen)
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow anybody on UDP/3
CiliumNetworkPolicy shop/entities spec.egress[1] (log: seen)
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow entity:cluster on SCTP/4
CiliumNetworkPolicy shop/entities spec.egressDeny[0] (log: seen)
  egress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  deny entity:world on UDP/3
CiliumNetworkPolicy shop/selectors spec.ingress[0]
  ingress of {any:app=cart, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {k8s:app=front, k8s:io.kubernetes.pod.namespace=shop} or {any:app=client, k8s:io.kubernetes.pod.namespace=lab} or {k8s:io.cilium.k8s.namespace.labels.team=lab} or {reserved:host=} or {k8s:io.cilium.k8s.policy.serviceaccount=nobody, k8s:io.kubernetes.pod.namespace=shop} or {any:app=db, k8s:io.cilium.k8s.policy.cluster notin (other), k8s:io.kubernetes.pod.namespace=shop} on anything
CiliumNetworkPolicy shop/selectors spec.egressDeny[0]
  egress of {any:app=cart, k8s:io.kubernetes.pod.namespace=shop}
  deny {any:app, k8s:io.kubernetes.pod.namespace=shop} on TCP/http UDP/http SCTP/http
-- entries --
shop/cart: ingress enforced, egress enforced
  ingress anybody any deny by default: CiliumNetworkPolicy shop/selectors
  ingress host any allow: CiliumNetworkPolicy shop/selectors spec.ingress[0] + Implicit allow-localhost [0]
  ingress shop/front any allow: CiliumNetworkPolicy shop/selectors spec.ingress[0]
  ingress shop/db any allow: CiliumNetworkPolicy shop/selectors spec.ingress[0]
  ingress lab/client any allow: CiliumNetworkPolicy shop/selectors spec.ingress[0]
  egress anybody any allow by default
  egress shop/front TCP/8080 deny: CiliumNetworkPolicy shop/selectors spec.egressDeny[0]
  egress shop/cart TCP/7070 deny: CiliumNetworkPolicy shop/selectors spec.egressDeny[0]
shop/db: ingress enforced, egress enforced
  ingress anybody any deny by default: CiliumNetworkPolicy shop/entities
  ingress host any allow: Implicit allow-localhost [0]
  ingress world any deny: CiliumNetworkPolicy shop/entities spec.ingressDeny[0] (log: seen)
  ingress remote-node TCP/1 allow: CiliumNetworkPolicy shop/entities spec.ingress[0] (log: seen)
  ingress kube-apiserver TCP/1 allow: CiliumNetworkPolicy shop/entities spec.ingress[0] (log: seen)
  ingress kube-apiserver TCP/2 allow: CiliumNetworkPolicy shop/entities spec.ingress[1] (log: seen)
  ingress world-ipv4 TCP/1 allow: CiliumNetworkPolicy shop/entities spec.ingress[0] (log: seen)
  ingress world-ipv6 any deny: CiliumNetworkPolicy shop/entities spec.ingressDeny[0] (log: seen)
  ingress node-a TCP/1 allow: CiliumNetworkPolicy shop/entities spec.ingress[0] (log: seen)
  ingress node-b-spot TCP/1 allow: CiliumNetworkPolicy shop/entities spec.ingress[0] (log: seen)
  egress anybody any deny by default: CiliumNetworkPolicy shop/entities
  egress anybody UDP/3 allow: CiliumNetworkPolicy shop/entities spec.egress[0] (log: seen)
  egress host SCTP/4 allow: CiliumNetworkPolicy shop/entities spec.egress[1] (log: seen)
  egress world UDP/3 deny: CiliumNetworkPolicy shop/entities spec.egressDeny[0] (log: seen)
  egress remote-node SCTP/4 allow: CiliumNetworkPolicy shop/entities spec.egress[1] (log: seen)
  egress kube-apiserver SCTP/4 allow: CiliumNetworkPolicy shop/entities spec.egress[1] (log: seen)
  egress world-ipv4 UDP/3 deny: CiliumNetworkPolicy shop/entities spec.egressDeny[0] (log: seen)
  egress world-ipv6 UDP/3 deny: CiliumNetworkPolicy shop/entities spec.egressDeny[0] (log: seen)
  egress shop/front SCTP/4 allow: CiliumNetworkPolicy shop/entities spec.egress[1] (log: seen)
  egress shop/cart SCTP/4 allow: CiliumNetworkPolicy shop/entities spec.egress[1] (log: seen)
  egress shop/db SCTP/4 allow: CiliumNetworkPolicy shop/entities spec.egress[1] (log: seen)
  egress lab/client SCTP/4 allow: CiliumNetworkPolicy shop/entities spec.egress[1] (log: seen)
  egress kube-system/dns SCTP/4 allow: CiliumNetworkPolicy shop/entities spec.egress[1] (log: seen)
  egress node-a SCTP/4 allow: CiliumNetworkPolicy shop/entities spec.egress[1] (log: seen)
  egress node-b-spot SCTP/4 allow: CiliumNetworkPolicy shop/entities spec.egress[1] (log: seen)
