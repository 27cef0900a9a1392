NetworkPolicy: every selector with labels and with expressions, peers and ports of every form in both directions.
-- policies.yaml --
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: selectors, namespace: shop}
spec:
  podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [front, cart]}, {key: canary, operator: DoesNotExist}]}
  policyTypes: [Ingress, Egress]
  ingress:
  - from:
    - namespaceSelector: {matchExpressions: [{key: team, operator: In, values: [lab, shop]}]}
      podSelector: {matchExpressions: [{key: app, operator: In, values: [front, cart, client]}, {key: app, operator: Exists}]}
    - ipBlock: {cidr: 198.51.100.0/24, except: [198.51.100.128/25]}
    ports: [{protocol: TCP, port: 5432, endPort: 5433}]
  egress:
  - to:
    - namespaceSelector: {matchExpressions: [{key: team, operator: In, values: [lab]}], matchLabels: {team: lab}}
      podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [db]}], matchLabels: {app: client}}
    - ipBlock: {cidr: "2001:db8::/32", except: ["2001:db8:1::/48"]}
    ports: [{protocol: SCTP, port: 7}, {protocol: UDP, port: 53, endPort: 54}]
-- rules --
NetworkPolicy shop/selectors spec.ingress[0]
  ingress of {!k8s:canary, k8s:app notin (cart front), k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {k8s:app, k8s:app in (cart client front), k8s:io.cilium.k8s.namespace.labels.team in (lab shop), k8s:io.kubernetes.pod.namespace} or block:198.51.100.0/24 except 198.51.100.128/25 on TCP/5432-5433
NetworkPolicy shop/selectors spec.egress[0]
  egress of {!k8s:canary, k8s:app notin (cart front), k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {k8s:app notin (db), k8s:app=client, k8s:io.cilium.k8s.namespace.labels.team=lab, k8s:io.cilium.k8s.namespace.labels.team=lab, k8s:io.kubernetes.pod.namespace} or block:2001:db8::/32 except 2001:db8:1::/48 on SCTP/7 UDP/53-54
-- entries --
shop/db: ingress enforced, egress enforced
  ingress anybody any deny by default: NetworkPolicy shop/selectors
  ingress host any allow: Implicit allow-localhost [0]
  ingress shop/front TCP/5432-5433 allow: NetworkPolicy shop/selectors spec.ingress[0]
  ingress shop/cart TCP/5432-5433 allow: NetworkPolicy shop/selectors spec.ingress[0]
  ingress lab/client TCP/5432-5433 allow: NetworkPolicy shop/selectors spec.ingress[0]
  ingress block 198.51.100.0/24 TCP/5432-5433 allow: NetworkPolicy shop/selectors spec.ingress[0]
  egress anybody any deny by default: NetworkPolicy shop/selectors
  egress lab/client UDP/53 allow: NetworkPolicy shop/selectors spec.egress[0]
  egress lab/client UDP/54 allow: NetworkPolicy shop/selectors spec.egress[0]
  egress lab/client SCTP/7 allow: NetworkPolicy shop/selectors spec.egress[0]
  egress block 2001:db8::/32 UDP/53 allow: NetworkPolicy shop/selectors spec.egress[0]
  egress block 2001:db8::/32 UDP/54 allow: NetworkPolicy shop/selectors spec.egress[0]
  egress block 2001:db8::/32 SCTP/7 allow: NetworkPolicy shop/selectors spec.egress[0]
