// SPDX-License-Identifier: Apache-2.0
/** What the main thread and the flows worker say to each other. Plain data only: it crosses a thread boundary. */

/** Somebody with an address: a pod. */
export interface Party {
  /** `namespace/pod`. */
  readonly key: string;
  readonly namespace: string;
  readonly pod: string;
  /** Canonical texts. */
  readonly addresses: readonly string[];
  /** Endpoint id when the pod is on this node, else 0. */
  readonly endpoint: number;
  readonly workloads: readonly Workload[];
}

export interface Workload {
  readonly kind: string;
  readonly name: string;
}

/** One address and port of a Service. */
export interface ServiceAddress {
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** IANA number. */
  readonly proto: number;
}

/** The Service a frontend's number in the datapath stands for; the key is that number as text. */
export interface FrontendName {
  readonly key: string;
  readonly id: number;
  readonly namespace: string;
  readonly name: string;
}

/** Where a rule comes from. */
export interface PolicyOrigin {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Places of the rules in the object: `spec.ingress[0]`. */
  readonly fields: readonly string[];
  /** Names that rules have in the object. */
  readonly ruleNames: readonly string[];
  /** Labels of the object's own, with source. */
  readonly labels: readonly string[];
  /** What the object wants to stand in the flows it decides. */
  readonly log: readonly string[];
  /** `shop.yaml:12`: where the rules are written, when applied from files. */
  readonly sources: readonly string[];
}

/** A node whose flows can be asked for. */
export interface PeerNode {
  readonly name: string;
  /** `host:port` of its observer; "" for the node itself. */
  readonly address: string;
}

/** Net changes of one kind of thing; the key of an identity or a rule is its number as text. */
export interface Update<T> {
  readonly put: readonly T[];
  readonly delete: readonly string[];
}

export interface DirectoryUpdate {
  readonly parties?: Update<Party>;
  readonly identities?: Update<{
    readonly key: string;
    readonly id: number;
    readonly labels: readonly string[];
  }>;
  readonly services?: Update<ServiceAddress>;
  readonly frontends?: Update<FrontendName>;
  readonly rules?: Update<{
    readonly key: string;
    readonly id: number;
    readonly origins: readonly PolicyOrigin[];
  }>;
  readonly interfaces?: Update<{ readonly key: string; readonly index: number; readonly name: string }>;
  readonly peers?: Update<PeerNode & { readonly key: string }>;
  readonly nodeLabels?: readonly string[];
}

export interface ListenAddress {
  /** Unix socket, created with mode 0600. */
  readonly unix?: string;
  readonly tcp?: { readonly host: string; readonly port: number };
  /** With TLS; paths of the certificate's PEM files. */
  readonly tls?: {
    readonly host: string;
    readonly port: number;
    readonly cert: string;
    readonly key: string;
  };
}

/** `workerData` of the flows worker. */
export interface WorkerOptions {
  /** Kernel's id of the ring buffer map. */
  readonly ringMapId: number;
  /** Kernel's id of the map that counts, per CPU under key 0, events that found the ring full; 0: none. */
  readonly lostMapId: number;
  /** Flows kept in memory: 2^n - 1. */
  readonly capacity: number;
  readonly nodeName: string;
  readonly clusterName: string;
  readonly version: string;
  readonly listen: ListenAddress;
}

export type ToWorker =
  | { readonly kind: "directory"; readonly update: DirectoryUpdate }
  | { readonly kind: "metrics"; readonly id: number }
  | { readonly kind: "stop" };

export type FromWorker =
  | { readonly kind: "ready"; readonly tcpPort: number | undefined }
  | { readonly kind: "failed"; readonly code: string; readonly message: string }
  | { readonly kind: "metrics"; readonly id: number; readonly text: string }
  /** So many since the last one of the kind; at most once a minute. */
  | { readonly kind: "lost"; readonly count: number }
  | { readonly kind: "stopped" };
