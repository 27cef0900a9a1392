// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";
import { parseSettings, readSettings } from "#lib/settings.ts";
import {
  apiServerSetting,
  clusterNameSetting,
  endpointSlicesSetting,
  ipamSetting,
  l2AnnouncementsSetting,
  listenSetting,
  prefixSetting,
  tableSizes,
} from "#model/settings.ts";

const labelPatterns = z
  .array(z.string().regex(/^[A-Za-z0-9*][-A-Za-z0-9_./*]*$/, "is no label key or pattern of one"))
  .default([]);

/**
 * Everything an agent can be told. Unknown keys are an error: a setting that does nothing is a mistake nobody sees. The chart's
 * values, their schema and their table are made of this, descriptions included.
 */
export const agentConfigSchema = z.strictObject({
  nodeName: z
    .string()
    .min(1)
    .describe("The Kubernetes Node this agent serves; absent: what NODE_NAME of the environment says."),
  clusterName: clusterNameSetting,
  kubeconfig: z.string().optional().describe("Absent: in-cluster credentials."),
  apiServer: apiServerSetting,
  ipam: ipamSetting,
  identityLabels: z
    .strictObject({
      include: labelPatterns.describe(
        "When there are any: pod labels that match none are no part of identities.",
      ),
      exclude: labelPatterns.describe(
        "Pod labels that are no part of identities, beside those that change with every rollout or name a single pod.",
      ),
    })
    .prefault({})
    .describe(
      "Which labels of pods make identities, by key; `*` stands for any text. Policies can select by no others.",
    ),
  endpointSlices: endpointSlicesSetting,
  routing: z
    .enum(["tunnel", "native"])
    .default("tunnel")
    .describe(
      "How pods of different nodes meet: in a VXLAN tunnel, or by routes of the network between the nodes.",
    ),
  families: z.enum(["v4", "v6", "dual"]).default("v4").describe("Address families of the pods."),
  device: z
    .string()
    .optional()
    .describe(
      "Device of the underlay and of the default route; absent: the one that carries the node's address.",
    ),
  nativeRoutingCidrs: z
    .array(prefixSetting)
    .default([])
    .describe(
      "Destinations reached without masquerade under native routing; absent: the pod CIDRs of all nodes.",
    ),
  masquerade: z
    .boolean()
    .default(true)
    .describe("Give what leaves the cluster the node's address as its source."),
  egressGateway: z
    .boolean()
    .optional()
    .describe(
      "Let CiliumEgressGatewayPolicies send pods out of the cluster by other nodes, through the tunnel; absent: under tunnel routing. Under native routing it takes the tunnel's device, and its 50 bytes (IPv6 nodes: 70) of the pods' MTU.",
    ),
  xdp: z
    .strictObject({
      devices: z
        .array(z.string())
        .default([])
        .describe(
          "Devices whose packets for services the balancer sends on before the node's stack sees them; the node's own device is the only one so far. Names a node has not are passed over.",
        ),
      mode: z
        .enum(["auto", "native", "generic"])
        .default("auto")
        .describe(
          "In the device's driver (native), in the stack, which every device can (generic), or whichever it has. A device that has not what is asked for is an error.",
        ),
    })
    .prefault({})
    .describe("The balancer at XDP."),
  services: z
    .strictObject({
      withoutBackends: z
        .enum(["refuse", "drop"])
        .default("refuse")
        .describe("What who asks for a service that nobody answers gets: a refusal, or nothing."),
      algorithm: z
        .enum(["random", "maglev"])
        .default("random")
        .describe(
          "How the backend of a new connection is found: by chance, or by a hash that is the same on every node. A Service says otherwise by the annotation service.cilium.io/lb-algorithm.",
        ),
      tableSize: z
        .literal([...tableSizes])
        .default(16_381)
        .describe(
          "Places in the table of a service that hashes, or whose backends have weights; four bytes each. When a backend leaves, 65521 keep 99 of 100 other connections where they are for up to 160 backends, 16381 for about ten.",
        ),
      capacity: z
        .int()
        .min(1024)
        .max(1_048_576)
        .default(65_536)
        .describe(
          "Services' worth of room in the load balancer's maps: two addresses and ports, four backends and two rows of sixteen of their places for each, to be shared as need be. 162 bytes of kernel memory each, used or not (176 under `algorithm: maglev`).",
        ),
      forwardingMode: z
        .enum(["snat", "dsr", "hybrid"])
        .default("snat")
        .describe(
          "How a backend on another node is reached from outside: by the node's own source address; or by the client's, and answers leave from the backend's node (dsr); or that for TCP alone (hybrid). A Service says otherwise by the annotation service.cilium.io/forwarding-mode.",
        ),
      dsrDispatch: z
        .enum(["option", "ipip", "geneve"])
        .default("option")
        .describe(
          "How a backend's node learns under dsr which address the client asked: by an option in the IP header of a connection's first packet; by every packet coming whole in one of the asked node's own (ipip: IP in IP), under native routing alone; or by every packet coming in one of the asked node's to the backend's node that says so (geneve: UDP port 6081), beside any tunnel and without one.",
        ),
      proxyName: z
        .string()
        .default("")
        .describe(
          "Serve the services whose label service.kubernetes.io/service-proxy-name is this; empty: those without that label.",
        ),
      healthListen: z
        .string()
        .default("0.0.0.0:10256")
        .describe(
          "Where load balancers ask for the node's health, as of kube-proxy; empty: nowhere, and at 127.0.0.1:10249 nobody tells which kind of kube-proxy this is.",
        ),
    })
    .prefault({})
    .describe("Services, in place of kube-proxy."),
  l2Announcements: l2AnnouncementsSetting,
  policy: z
    .strictObject({
      enforcement: z
        .enum(["default", "always", "never"])
        .default("default")
        .describe(
          "Which pods drop what no rule allows: those that a policy selects, all, or none. The host's firewall knows only its policies, but `never` switches it off too.",
        ),
      audit: z
        .boolean()
        .default(false)
        .describe(
          "Tell what policies deny, as AUDIT flows, and let it through: for every endpoint of the node.",
        ),
      denyResponse: z
        .enum(["none", "icmp"])
        .default("none")
        .describe(
          "What a pod gets whose egress policy denies: nothing, or ICMP 'administratively prohibited'.",
        ),
      verifySource: z
        .boolean()
        .default(true)
        .describe(
          "Drop what pods send from addresses that are not theirs. Off: for no pod of the node; a pod alone is excepted by annotations.",
        ),
    })
    .prefault({})
    .describe("How the verdicts of policies are applied."),
  acceleration: z
    .strictObject({
      // Not every reader of YAML takes a bare `off` for a text.
      sockmap: z
        .literal(["off", "annotated", "all", false])
        .default("off")
        .transform((mode) => mode || "off")
        .describe(
          "Take TCP connections between pods of one node past the network, once policy has let them through: none, those between two pods with the annotation weft.io/sockmap, or all but those of pods whose annotation is false. Needs Linux 6.14; programs can tell the difference (docs/acceleration.md).",
        ),
    })
    .prefault({})
    .describe("Shorter ways for what policy has let through."),
  hostFirewall: z
    .strictObject({
      enabled: z
        .boolean()
        .default(false)
        .describe(
          "Let policies with a nodeSelector judge what goes to and from the node itself. Off: such policies are refused.",
        ),
      neverLockOut: z
        .strictObject({
          apiServer: z
            .boolean()
            .default(true)
            .describe("The way to API servers, and to one on the node, stays open."),
          ports: z
            .array(z.number().int().min(1).max(65_535))
            .default([])
            .describe("TCP ports of the node that stay open, as 22 for SSH."),
          cidrs: z
            .array(prefixSetting)
            .default([])
            .describe("To whom these ports stay open; absent: to everyone."),
        })
        .prefault({})
        .describe("What no policy closes."),
    })
    .prefault({})
    .describe("The node's own firewall."),
  flows: z.boolean().default(true).describe("Emit flows for what is forwarded; drops are always shown."),
  flowBuffer: z
    .number()
    .int()
    .min(1023)
    .max(1_048_575)
    .default(16_383)
    .describe("How many flows a node remembers."),
  stateDir: z.string().default("/var/lib/weft").describe("State that outlives a reboot."),
  runDir: z.string().default("/run/weft").describe("Sockets."),
  bpfDir: z
    .string()
    .default("/sys/fs/bpf/weft")
    .describe("Directory under a bpffs for pinned maps and links."),
  cgroup: z
    .string()
    .optional()
    .describe(
      "cgroup2 directory whose processes get service translation at connect; absent: the node's root of cgroup2, wherever it is mounted.",
    ),
  hostProc: z
    .string()
    .default("/hostproc")
    .describe(
      "The host's /proc as the agent's container has it. Where there is none the agent runs on the host itself.",
    ),
  cniConfDir: z.string().default("/etc/cni/net.d").describe("Where the runtime looks for its network."),
  cniBinDir: z
    .string()
    .default("/opt/cni/bin")
    .describe("Where the runtime looks for CNI plugins; the agent puts its own there."),
  observer: listenSetting("0.0.0.0:4244").describe("The node's flows, by Hubble's Observer API."),
  metrics: listenSetting("0.0.0.0:9962").describe("Prometheus metrics."),
  health: listenSetting("127.0.0.1:9879").describe("The kubelet's probes: /healthz and /readyz."),
});

export type AgentConfig = z.infer<typeof agentConfigSchema>;

/** Reads the YAML file. @throws WeftError E_CONFIG naming the file and the setting. */
export function loadAgentConfig(path: string): AgentConfig {
  return readSettings(withNodeName(process.env), path);
}

export function parseAgentConfig(text: string, path: string, environment = process.env): AgentConfig {
  return parseSettings(withNodeName(environment), text, path);
}

/** One file serves all nodes: the name comes from the environment of the pod. */
function withNodeName({ NODE_NAME: nodeName }: NodeJS.ProcessEnv) {
  return z.preprocess(
    (given) => (nodeName && given !== null && typeof given === "object" ? { nodeName, ...given } : given),
    agentConfigSchema,
  );
}
