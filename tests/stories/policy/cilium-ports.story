Every form of a port: numbers, ranges, names, any; protocols without ports; ICMP by name and by number; a rule set of several specs.
-- policies.yaml --
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: ports, namespace: shop}
specs:
- endpointSelector: {matchLabels: {app: db}}
  ingress:
  - fromEntities: [cluster]
    toPorts:
    - ports:
      - {port: "80", protocol: TCP}
      - {port: "8000", endPort: 8003, protocol: UDP}
      - {port: "53"}
      - {port: "0", protocol: SCTP}
  - toPorts: [{ports: [{protocol: VRRP}, {protocol: IGMP}, {protocol: GRE}, {protocol: IPIP}, {protocol: IPV6}, {protocol: ESP}, {protocol: AH}]}]
  - icmps: [{fields: [{type: EchoRequest}, {family: IPv6, type: PacketTooBig}, {family: IPv4, type: 3}, {family: IPv6, type: "128"}]}]
- endpointSelector: {matchLabels: {app: front}}
  egress:
  - toEndpoints: [{}]
    toPorts: [{ports: [{port: http, protocol: TCP}, {port: metrics, protocol: ANY}]}]
  - toCIDR: [203.0.113.7, 2001:db8::/32]
    toPorts: [{ports: [{port: "443", protocol: TCP}]}]
-- rules --
CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow entity:cluster on TCP/80 UDP/8000-8003 TCP/53 UDP/53 SCTP/53 SCTP
CiliumNetworkPolicy shop/ports specs[0].ingress[1]
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow anybody on 112 2 47 4 41 50 51
CiliumNetworkPolicy shop/ports specs[0].ingress[2]
  ingress of {any:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow anybody on ICMP/8 ICMPv6/2 ICMP/3 ICMPv6/128
CiliumNetworkPolicy shop/ports specs[1].egress[0]
  egress of {any:app=front, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {k8s:io.kubernetes.pod.namespace=shop} on TCP/http TCP/metrics UDP/metrics SCTP/metrics
CiliumNetworkPolicy shop/ports specs[1].egress[1]
  egress of {any:app=front, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow cidr:203.0.113.7/32 or cidr:2001:db8::/32 on TCP/443
-- entries --
shop/front: ingress open, egress enforced
  egress anybody any deny by default: CiliumNetworkPolicy shop/ports
  egress shop/front TCP/8080 allow: CiliumNetworkPolicy shop/ports specs[1].egress[0]
  egress shop/cart TCP/7070 allow: CiliumNetworkPolicy shop/ports specs[1].egress[0]
  egress shop/cart TCP/9090 allow: CiliumNetworkPolicy shop/ports specs[1].egress[0]
  egress 2001:db8::/32 TCP/443 allow: CiliumNetworkPolicy shop/ports specs[1].egress[1]
  egress 203.0.113.7/32 TCP/443 allow: CiliumNetworkPolicy shop/ports specs[1].egress[1]
shop/db: ingress enforced, egress open
  ingress anybody any deny by default: CiliumNetworkPolicy shop/ports
  ingress anybody ICMP/3 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[2]
  ingress anybody ICMP/8 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[2]
  ingress anybody 2 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[1]
  ingress anybody 4 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[1]
  ingress anybody 41 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[1]
  ingress anybody 47 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[1]
  ingress anybody 50 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[1]
  ingress anybody 51 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[1]
  ingress anybody ICMPv6/2 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[2]
  ingress anybody ICMPv6/128 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[2]
  ingress anybody 112 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[1]
  ingress host any allow: Implicit allow-localhost [0]
  ingress remote-node TCP/53 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress remote-node TCP/80 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress remote-node UDP/53 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress remote-node UDP/8000-8003 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress remote-node SCTP allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress kube-apiserver TCP/53 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress kube-apiserver TCP/80 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress kube-apiserver UDP/53 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress kube-apiserver UDP/8000-8003 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress kube-apiserver SCTP allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress shop/front TCP/53 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress shop/front TCP/80 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress shop/front UDP/53 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress shop/front UDP/8000-8003 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress shop/front SCTP allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress shop/cart TCP/53 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress shop/cart TCP/80 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress shop/cart UDP/53 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress shop/cart UDP/8000-8003 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress shop/cart SCTP allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress shop/db TCP/53 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress shop/db TCP/80 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress shop/db UDP/53 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress shop/db UDP/8000-8003 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress shop/db SCTP allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress lab/client TCP/53 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress lab/client TCP/80 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress lab/client UDP/53 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress lab/client UDP/8000-8003 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress lab/client SCTP allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress kube-system/dns TCP/53 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress kube-system/dns TCP/80 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress kube-system/dns UDP/53 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress kube-system/dns UDP/8000-8003 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress kube-system/dns SCTP allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress node-a TCP/53 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress node-a TCP/80 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress node-a UDP/53 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress node-a UDP/8000-8003 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress node-a SCTP allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress node-b-spot TCP/53 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress node-b-spot TCP/80 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress node-b-spot UDP/53 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress node-b-spot UDP/8000-8003 allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
  ingress node-b-spot SCTP allow: CiliumNetworkPolicy shop/ports specs[0].ingress[0]
