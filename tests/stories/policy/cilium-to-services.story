Services stand for who answers: the pods they select, in the Service's own namespace, or the addresses written into EndpointSlices.
-- policies.yaml --
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop, labels: {tier: data}}
spec: {selector: {app: db}, ports: [{port: 5432}]}
---
apiVersion: v1
kind: Service
metadata: {name: archive, namespace: shop, labels: {tier: data}}
spec: {clusterIP: None, ports: [{port: 443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: archive-1, namespace: shop, labels: {kubernetes.io/service-name: archive}}
addressType: IPv4
ports: [{port: 8443}]
endpoints: [{addresses: [203.0.113.7]}, {addresses: [203.0.113.9], conditions: {ready: false}}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: by-name, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: front}}
  egress:
  - toServices: [{k8sService: {serviceName: db, namespace: shop}}]
    toPorts: [{ports: [{port: "5432", protocol: TCP}]}]
  - toServices: [{k8sService: {serviceName: nowhere, namespace: shop}}]
---
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: by-label}
spec:
  endpointSelector: {matchLabels: {app: cart}}
  egress:
  - toServices: [{k8sServiceSelector: {selector: {matchLabels: {tier: data}}}}]
-- rules --
CiliumNetworkPolicy shop/by-name spec.egress[0]
  egress of {any:app=front, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {k8s:app=db, k8s:io.kubernetes.pod.namespace=shop} on TCP/5432
CiliumNetworkPolicy shop/by-name spec.egress[1]
  egress of {any:app=front, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow nobody on anything
CiliumClusterwideNetworkPolicy by-label spec.egress[0]
  egress of {any:app=cart}, isolated
  allow {k8s:app=db, k8s:io.kubernetes.pod.namespace=shop} or cidr:203.0.113.7/32 or cidr:203.0.113.9/32 on anything
-- entries --
shop/front: ingress open, egress enforced
  egress anybody any deny by default: CiliumNetworkPolicy shop/by-name
  egress shop/db TCP/5432 allow: CiliumNetworkPolicy shop/by-name spec.egress[0]
shop/cart: ingress open, egress enforced
  egress anybody any deny by default: CiliumClusterwideNetworkPolicy by-label
  egress shop/db any allow: CiliumClusterwideNetworkPolicy by-label spec.egress[0]
  egress 203.0.113.9/32 any allow: CiliumClusterwideNetworkPolicy by-label spec.egress[0]
  egress 203.0.113.7/32 any allow: CiliumClusterwideNetworkPolicy by-label spec.egress[0]
-- refused --
spec.egress[1].toServices[0]: Service shop/nowhere does not exist and selects nobody
