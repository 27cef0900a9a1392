A pod may ask the cluster's DNS and reach the cart, nothing else.
-- policies.yaml --
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: egress-dns
  namespace: shop
spec:
  podSelector: {matchLabels: {app: front}}
  policyTypes: [Egress]
  egress:
  - to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
      podSelector: {matchLabels: {k8s-app: kube-dns}}
    ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
  - to:
    - podSelector: {matchLabels: {app: cart}}
-- rules --
NetworkPolicy shop/egress-dns spec.egress[0]
  egress of {k8s:app=front, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=kube-system, k8s:io.kubernetes.pod.namespace, k8s:k8s-app=kube-dns} on UDP/53 TCP/53
NetworkPolicy shop/egress-dns spec.egress[1]
  egress of {k8s:app=front, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {k8s:app=cart, k8s:io.kubernetes.pod.namespace=shop} on anything
-- entries --
shop/front: ingress open, egress enforced
  egress anybody any deny by default: NetworkPolicy shop/egress-dns
  egress shop/cart any allow: NetworkPolicy shop/egress-dns spec.egress[1]
  egress kube-system/dns TCP/53 allow: NetworkPolicy shop/egress-dns spec.egress[0]
  egress kube-system/dns UDP/53 allow: NetworkPolicy shop/egress-dns spec.egress[0]
