In egress a name is the number each destination gives it.
-- policies.yaml --
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: named-port-egress
  namespace: shop
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Egress]
  egress:
  - to:
    - podSelector: {}
    ports:
    - port: http
  - ports:
    - {port: dns, protocol: UDP}
-- rules --
NetworkPolicy shop/named-port-egress spec.egress[0]
  egress of {k8s:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {k8s:io.kubernetes.pod.namespace=shop} on TCP/http
NetworkPolicy shop/named-port-egress spec.egress[1]
  egress of {k8s:app=db, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow anybody on UDP/dns
-- entries --
shop/db: ingress open, egress enforced
  egress anybody any deny by default: NetworkPolicy shop/named-port-egress
  egress shop/front TCP/8080 allow: NetworkPolicy shop/named-port-egress spec.egress[0]
  egress shop/cart TCP/7070 allow: NetworkPolicy shop/named-port-egress spec.egress[0]
  egress kube-system/dns UDP/53 allow: NetworkPolicy shop/named-port-egress spec.egress[1]
