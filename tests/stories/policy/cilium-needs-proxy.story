What needs a proxy, DNS answers, TLS or authentication is taken in whole and refused by name: never enforced as if the field were not there.
-- policies.yaml --
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: http, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: front}}
  ingress:
  - toPorts:
    - ports: [{port: "80", protocol: TCP}]
      rules:
        http:
        - method: GET
          path: /v1/.*
          host: api\.example
          headers: ["X-Token: 1"]
          headerMatches: [{name: X-A, value: b, mismatch: LOG}, {name: X-B, secret: {name: s, namespace: shop}, mismatch: ADD}, {name: X-C, mismatch: DELETE}, {name: X-D, mismatch: REPLACE}]
  egress:
  - toPorts:
    - ports: [{port: "80", protocol: TCP}]
      rules:
        http:
        - method: GET
          path: /v1/.*
          host: api\.example
          headers: ["X-Token: 1"]
          headerMatches: [{name: X-A, value: b, mismatch: LOG, secret: {name: s, namespace: shop}}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: dns, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: front}}
  egress:
  - toFQDNs: [{matchName: api.example}, {matchPattern: "*.example"}]
  - toPorts:
    - ports: [{port: "53", protocol: UDP}]
      rules: {dns: [{matchName: api.example}, {matchPattern: "*"}]}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: tls, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: front}}
  ingress:
  - toPorts:
    - ports: [{port: "443", protocol: TCP}]
      serverNames: [api.example]
      terminatingTLS: {secret: {name: s, namespace: shop}, certificate: tls.crt, privateKey: tls.key, trustedCA: ca.crt}
      originatingTLS: {secret: {name: s, namespace: shop}, certificate: tls.crt, privateKey: tls.key, trustedCA: ca.crt}
  egress:
  - toPorts:
    - ports: [{port: "443", protocol: TCP}]
      serverNames: [api.example]
      terminatingTLS: {secret: {name: s, namespace: shop}, certificate: tls.crt, privateKey: tls.key, trustedCA: ca.crt}
      originatingTLS: {secret: {name: s, namespace: shop}, certificate: tls.crt, privateKey: tls.key, trustedCA: ca.crt}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: listener, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: front}}
  egress:
  - toPorts:
    - ports: [{port: "443", protocol: TCP}]
      listener: {envoyConfig: {kind: CiliumEnvoyConfig, name: e}, name: l, priority: 1}
    - ports: [{port: "444", protocol: TCP}]
      listener: {envoyConfig: {kind: CiliumClusterwideEnvoyConfig, name: e}, name: l}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: authentication, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: front}}
  ingress:
  - fromEndpoints: [{}]
    authentication: {mode: required}
  egress:
  - toEndpoints: [{}]
    authentication: {mode: test-always-fail}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: no-authentication, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: front}}
  ingress:
  - fromEndpoints: [{}]
    authentication: {mode: disabled}
-- rules --
CiliumNetworkPolicy shop/no-authentication spec.ingress[0]
  ingress of {any:app=front, k8s:io.kubernetes.pod.namespace=shop}, isolated
  allow {k8s:io.kubernetes.pod.namespace=shop} on anything
-- entries --
shop/front: ingress enforced, egress open
  ingress anybody any deny by default: CiliumNetworkPolicy shop/no-authentication
  ingress host any allow: Implicit allow-localhost [0]
  ingress shop/front any allow: CiliumNetworkPolicy shop/no-authentication spec.ingress[0]
  ingress shop/cart any allow: CiliumNetworkPolicy shop/no-authentication spec.ingress[0]
  ingress shop/db any allow: CiliumNetworkPolicy shop/no-authentication spec.ingress[0]
-- refused --
CiliumNetworkPolicy shop/http: spec.ingress[0].toPorts[0].rules.http: needs a proxy that reads requests, which this version does not have (as do spec.egress[0].toPorts[0].rules.http)
CiliumNetworkPolicy shop/dns: spec.egress[0].toFQDNs: needs a proxy that reads DNS answers, which this version does not have (as do spec.egress[1].toPorts[0].rules.dns)
CiliumNetworkPolicy shop/tls: spec.ingress[0].toPorts[0].serverNames: needs a proxy that reads TLS, which this version does not have (as do spec.ingress[0].toPorts[0].terminatingTLS, spec.ingress[0].toPorts[0].originatingTLS, spec.egress[0].toPorts[0].serverNames, spec.egress[0].toPorts[0].terminatingTLS, spec.egress[0].toPorts[0].originatingTLS)
CiliumNetworkPolicy shop/listener: spec.egress[0].toPorts[0].listener: needs a proxy that reads requests, which this version does not have (as do spec.egress[0].toPorts[1].listener)
CiliumNetworkPolicy shop/authentication: spec.ingress[0].authentication.mode: needs mutual authentication, which this version does not have (as do spec.egress[0].authentication.mode)
