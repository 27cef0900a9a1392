// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";

const int64 = z.int().optional();
const text = z.string().optional();

/** Where an endpoint is reached: its addresses, and the node it lives on. */
const networking = z.object({
  addressing: z.array(z.object({ ipv4: text, ipv6: text })),
  node: text.meta({ description: "Address of the node the endpoint is on" }),
});
const namedPorts = z.array(z.object({ name: text, port: z.int().optional(), protocol: text }));
const encryption = z.object({ key: z.int().optional() });

const allowed = z.array(
  z.object({
    identity: int64,
    "identity-labels": z.record(z.string(), z.string()).optional(),
    "dest-port": z.int().optional(),
    protocol: z.int().optional(),
  }),
);
const direction = z.object({
  enforcing: z.boolean(),
  state: text,
  adding: allowed.optional(),
  allowed: allowed.optional(),
  denied: allowed.optional(),
  removing: allowed.optional(),
});

const states = [
  "creating",
  "waiting-for-identity",
  "not-ready",
  "waiting-to-regenerate",
  "regenerating",
  "restoring",
  "ready",
  "disconnecting",
  "disconnected",
  "invalid",
] as const;

const controllers = z.array(
  z.object({
    name: text,
    uuid: text,
    configuration: z
      .object({
        "error-retry": z.boolean().optional(),
        "error-retry-base": int64,
        interval: int64,
      })
      .optional(),
    status: z
      .object({
        "consecutive-failure-count": int64,
        "failure-count": int64,
        "success-count": int64,
        "last-failure-msg": text,
        "last-failure-timestamp": text,
        "last-success-timestamp": text,
      })
      .optional(),
  }),
);

/** `status` of a CiliumEndpoint: a pod's attachment as its node's agent publishes it. */
export const ciliumEndpointStatus = z.object({
  id: int64.meta({ description: "Number of the endpoint on its node" }),
  state: z.enum(states).optional(),
  identity: z.object({ id: int64, labels: z.array(z.string()).optional() }).optional(),
  networking: networking.optional(),
  "named-ports": namedPorts.optional(),
  "service-account": text,
  encryption: encryption.optional(),
  "external-identifiers": z
    .object({
      "cni-attachment-id": text,
      "container-id": text,
      "container-name": text,
      "docker-endpoint-id": text,
      "docker-network-id": text,
      "k8s-namespace": text,
      "k8s-pod-name": text,
      "pod-name": text,
    })
    .optional(),
  health: z
    .object({ bpf: text, connected: z.boolean().optional(), overallHealth: text, policy: text })
    .optional(),
  policy: z.object({ ingress: direction.optional(), egress: direction.optional() }).optional(),
  controllers: controllers.optional(),
  log: z.array(z.object({ code: text, message: text, state: text, timestamp: text })).optional(),
});

/** One endpoint in a CiliumEndpointSlice: what other nodes need to know of it. `id` is its identity. */
export const coreCiliumEndpoint = z.object({
  name: text.meta({ description: "Name of the pod" }),
  id: int64.meta({ description: "Security identity" }),
  networking: networking.optional(),
  "named-ports": namedPorts.optional(),
  "service-account": text,
  "pod-uid": text,
  encryption: encryption.optional(),
});
