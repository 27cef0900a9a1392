Addresses, without some of them, whoever has them: entries of their own, looked up after those of the identity.
-- policies.yaml --
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: ip-block
  namespace: shop
spec:
  podSelector: {matchLabels: {app: front}}
  ingress:
  - from:
    - ipBlock:
        cidr: 192.0.2.0/24
        except: [192.0.2.128/25]
    - ipBlock:
        cidr: 2001:db8::/32
-- rules --
NetworkPolicy shop/ip-block spec.ingress[0]
  ingress of {k8s:app=front, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow block:192.0.2.0/24 except 192.0.2.128/25 or block:2001:db8::/32 on anything
-- entries --
shop/front: ingress enforced, egress open
  ingress anybody any deny by default: NetworkPolicy shop/ip-block
  ingress host any allow: Implicit allow-localhost [0]
  ingress block 192.0.2.0/24 any allow: NetworkPolicy shop/ip-block spec.ingress[0]
  ingress block 2001:db8::/32 any allow: NetworkPolicy shop/ip-block spec.ingress[0]
