Tiers: what an admin says first counts, a pass leads to the NetworkPolicies, and the baseline is for pods that none of them selects.
-- policies.yaml --
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: admin}
spec:
  tier: Admin
  priority: 10
  subject: {namespaces: {matchLabels: {team: shop}}}
  ingress:
  - name: monitoring
    action: Accept
    from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: client}}}}]
    protocols: [{destinationNamedPort: metrics}, {tcp: {destinationPort: {range: {start: 8000, end: 8191}}}}]
  - action: Pass
    from: [{namespaces: {matchLabels: {team: shop}}}]
  - action: Deny
    from: [{namespaces: {}}]
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: default}
spec:
  tier: Baseline
  priority: 0
  subject: {namespaces: {}}
  ingress:
  - action: Deny
    from: [{namespaces: {}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: cart, namespace: shop}
spec:
  podSelector: {matchLabels: {app: cart}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: front}}}]
-- rules --
ClusterNetworkPolicy admin spec.ingress[0] (monitoring)
  ingress of {k8s:io.cilium.k8s.namespace.labels.team=shop, k8s:io.kubernetes.pod.namespace}, admin 250
  allow {k8s:app=client, k8s:io.kubernetes.pod.namespace} on any/metrics TCP/8000-8191
ClusterNetworkPolicy admin spec.ingress[1]
  ingress of {k8s:io.cilium.k8s.namespace.labels.team=shop, k8s:io.kubernetes.pod.namespace}, admin 251
  pass {k8s:io.cilium.k8s.namespace.labels.team=shop, k8s:io.kubernetes.pod.namespace} on anything
ClusterNetworkPolicy admin spec.ingress[2]
  ingress of {k8s:io.cilium.k8s.namespace.labels.team=shop, k8s:io.kubernetes.pod.namespace}, admin 252
  deny {k8s:io.kubernetes.pod.namespace} on anything
ClusterNetworkPolicy default spec.ingress[0]
  ingress of {k8s:io.kubernetes.pod.namespace}, baseline 0
  deny {k8s:io.kubernetes.pod.namespace} on anything
NetworkPolicy shop/cart spec.ingress[0]
  ingress of {k8s:app=cart, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {k8s:app=front, k8s:io.kubernetes.pod.namespace=shop} on anything
-- entries --
shop/front: ingress enforced, egress open
  ingress anybody any allow by default
  ingress host any allow: Implicit allow-localhost [0]
  ingress shop/front any deny: ClusterNetworkPolicy default spec.ingress[0]
  ingress shop/cart any deny: ClusterNetworkPolicy default spec.ingress[0]
  ingress shop/db any deny: ClusterNetworkPolicy default spec.ingress[0]
  ingress lab/client any deny: ClusterNetworkPolicy admin spec.ingress[2]
  ingress lab/client TCP/7936-8191 allow: ClusterNetworkPolicy admin spec.ingress[0] (monitoring)
  ingress lab/client TCP/7936-7999 deny: ClusterNetworkPolicy admin spec.ingress[2]
  ingress kube-system/dns any deny: ClusterNetworkPolicy admin spec.ingress[2]
shop/cart: ingress enforced, egress open
  ingress anybody any deny by default: NetworkPolicy shop/cart
  ingress host any allow: Implicit allow-localhost [0]
  ingress shop/front any allow: NetworkPolicy shop/cart spec.ingress[0]
  ingress lab/client any deny: ClusterNetworkPolicy admin spec.ingress[2]
  ingress lab/client TCP/7936-8191 allow: ClusterNetworkPolicy admin spec.ingress[0] (monitoring)
  ingress lab/client TCP/7936-7999 deny: ClusterNetworkPolicy admin spec.ingress[2]
  ingress lab/client TCP/9090 allow: ClusterNetworkPolicy admin spec.ingress[0] (monitoring)
  ingress kube-system/dns any deny: ClusterNetworkPolicy admin spec.ingress[2]
shop/db: ingress enforced, egress open
  ingress anybody any allow by default
  ingress host any allow: Implicit allow-localhost [0]
  ingress shop/front any deny: ClusterNetworkPolicy default spec.ingress[0]
  ingress shop/cart any deny: ClusterNetworkPolicy default spec.ingress[0]
  ingress shop/db any deny: ClusterNetworkPolicy default spec.ingress[0]
  ingress lab/client any deny: ClusterNetworkPolicy admin spec.ingress[2]
  ingress lab/client TCP/7936-8191 allow: ClusterNetworkPolicy admin spec.ingress[0] (monitoring)
  ingress lab/client TCP/7936-7999 deny: ClusterNetworkPolicy admin spec.ingress[2]
  ingress kube-system/dns any deny: ClusterNetworkPolicy admin spec.ingress[2]
lab/client: ingress enforced, egress open
  ingress anybody any allow by default
  ingress host any allow: Implicit allow-localhost [0]
  ingress shop/front any deny: ClusterNetworkPolicy default spec.ingress[0]
  ingress shop/cart any deny: ClusterNetworkPolicy default spec.ingress[0]
  ingress shop/db any deny: ClusterNetworkPolicy default spec.ingress[0]
  ingress lab/client any deny: ClusterNetworkPolicy default spec.ingress[0]
  ingress kube-system/dns any deny: ClusterNetworkPolicy default spec.ingress[0]
kube-system/dns: ingress enforced, egress open
  ingress anybody any allow by default
  ingress host any allow: Implicit allow-localhost [0]
  ingress shop/front any deny: ClusterNetworkPolicy default spec.ingress[0]
  ingress shop/cart any deny: ClusterNetworkPolicy default spec.ingress[0]
  ingress shop/db any deny: ClusterNetworkPolicy default spec.ingress[0]
  ingress lab/client any deny: ClusterNetworkPolicy default spec.ingress[0]
  ingress kube-system/dns any deny: ClusterNetworkPolicy default spec.ingress[0]
