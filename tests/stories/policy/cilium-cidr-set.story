Egress to the world but not to private networks, and a refused policy that changes nothing.
-- policies.yaml --
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: out, namespace: lab}
spec:
  endpointSelector: {}
  egress:
  - toCIDRSet:
    - cidr: 0.0.0.0/0
      except: [10.0.0.0/8, 192.168.0.0/16]
    toPorts: [{ports: [{port: "443", protocol: TCP}, {port: "8000", endPort: 8080, protocol: TCP}]}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: by-name, namespace: lab}
spec:
  endpointSelector: {}
  egress:
  - toFQDNs: [{matchName: example.org}]
-- rules --
CiliumNetworkPolicy lab/out spec.egress[0]
  egress of {k8s:io.kubernetes.pod.namespace=lab}, isolated
  allow cidr:0.0.0.0/0 except 10.0.0.0/8 192.168.0.0/16 on TCP/443 TCP/8000-8080
-- entries --
lab/client: ingress open, egress enforced
  egress anybody any deny by default: CiliumNetworkPolicy lab/out
  egress world TCP/443 allow: CiliumNetworkPolicy lab/out spec.egress[0]
  egress world TCP/8000-8063 allow: CiliumNetworkPolicy lab/out spec.egress[0]
  egress world TCP/8064-8079 allow: CiliumNetworkPolicy lab/out spec.egress[0]
  egress world TCP/8080 allow: CiliumNetworkPolicy lab/out spec.egress[0]
  egress world-ipv4 TCP/443 allow: CiliumNetworkPolicy lab/out spec.egress[0]
  egress world-ipv4 TCP/8000-8063 allow: CiliumNetworkPolicy lab/out spec.egress[0]
  egress world-ipv4 TCP/8064-8079 allow: CiliumNetworkPolicy lab/out spec.egress[0]
  egress world-ipv4 TCP/8080 allow: CiliumNetworkPolicy lab/out spec.egress[0]
  egress 0.0.0.0/0 TCP/443 allow: CiliumNetworkPolicy lab/out spec.egress[0]
  egress 0.0.0.0/0 TCP/8000-8063 allow: CiliumNetworkPolicy lab/out spec.egress[0]
  egress 0.0.0.0/0 TCP/8064-8079 allow: CiliumNetworkPolicy lab/out spec.egress[0]
  egress 0.0.0.0/0 TCP/8080 allow: CiliumNetworkPolicy lab/out spec.egress[0]
-- refused --
CiliumNetworkPolicy lab/by-name: spec.egress[0].toFQDNs: needs a proxy that reads DNS answers, which this version does not have
