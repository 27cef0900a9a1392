Entities, ICMP, and a denial that does not isolate.
-- policies.yaml --
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: front, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: front}}
  ingress:
  - fromEntities: [cluster]
    toPorts: [{ports: [{port: http, protocol: TCP}]}]
  - fromEntities: [all]
    icmps: [{fields: [{type: EchoRequest}, {family: IPv6, type: 128}]}]
---
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: no-metadata-service}
spec:
  endpointSelector: {}
  enableDefaultDeny: {egress: false}
  egressDeny:
  - toCIDR: [169.254.169.254]
-- rules --
CiliumNetworkPolicy shop/front spec.ingress[0]
  ingress of {any:app=front, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow entity:cluster on TCP/http
CiliumNetworkPolicy shop/front spec.ingress[1]
  ingress of {any:app=front, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow anybody on ICMP/8 ICMPv6/128
CiliumClusterwideNetworkPolicy no-metadata-service spec.egressDeny[0]
  egress of {(all)}
  deny cidr:169.254.169.254/32 on anything
-- entries --
shop/front: ingress enforced, egress enforced
  ingress anybody any deny by default: CiliumNetworkPolicy shop/front
  ingress anybody ICMP/8 allow: CiliumNetworkPolicy shop/front spec.ingress[1]
  ingress anybody ICMPv6/128 allow: CiliumNetworkPolicy shop/front spec.ingress[1]
  ingress host any allow: Implicit allow-localhost [0]
  ingress remote-node TCP/8080 allow: CiliumNetworkPolicy shop/front spec.ingress[0]
  ingress kube-apiserver TCP/8080 allow: CiliumNetworkPolicy shop/front spec.ingress[0]
  ingress shop/front TCP/8080 allow: CiliumNetworkPolicy shop/front spec.ingress[0]
  ingress shop/cart TCP/8080 allow: CiliumNetworkPolicy shop/front spec.ingress[0]
  ingress shop/db TCP/8080 allow: CiliumNetworkPolicy shop/front spec.ingress[0]
  ingress lab/client TCP/8080 allow: CiliumNetworkPolicy shop/front spec.ingress[0]
  ingress kube-system/dns TCP/8080 allow: CiliumNetworkPolicy shop/front spec.ingress[0]
  ingress node-a TCP/8080 allow: CiliumNetworkPolicy shop/front spec.ingress[0]
  ingress node-b-spot TCP/8080 allow: CiliumNetworkPolicy shop/front spec.ingress[0]
  egress anybody any allow by default
  egress 169.254.169.254/32 any deny: CiliumClusterwideNetworkPolicy no-metadata-service spec.egressDeny[0]
shop/cart: ingress open, egress enforced
  egress anybody any allow by default
  egress 169.254.169.254/32 any deny: CiliumClusterwideNetworkPolicy no-metadata-service spec.egressDeny[0]
shop/db: ingress open, egress enforced
  egress anybody any allow by default
  egress 169.254.169.254/32 any deny: CiliumClusterwideNetworkPolicy no-metadata-service spec.egressDeny[0]
lab/client: ingress open, egress enforced
  egress anybody any allow by default
  egress 169.254.169.254/32 any deny: CiliumClusterwideNetworkPolicy no-metadata-service spec.egressDeny[0]
kube-system/dns: ingress open, egress enforced
  egress anybody any allow by default
  egress 169.254.169.254/32 any deny: CiliumClusterwideNetworkPolicy no-metadata-service spec.egressDeny[0]
