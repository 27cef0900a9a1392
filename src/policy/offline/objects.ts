// SPDX-License-Identifier: Apache-2.0
import type { ManifestObject } from "#k8s/manifest.ts";

/** An object and where its fields are written, if in a file. */
export interface SourcedObject {
  readonly object: ManifestObject;
  /** `policies.yaml:12` of `spec.ingress[0]`. */
  sourceOf?(field: string): string | undefined;
}

export interface PortSpec {
  readonly name?: string;
  readonly containerPort: number;
  readonly protocol?: string;
}

export interface ContainerSpec {
  readonly ports?: readonly PortSpec[];
  readonly restartPolicy?: string;
}

/** What is read of pods and of the templates of pods. */
export interface PodSpec {
  readonly containers?: readonly ContainerSpec[];
  readonly initContainers?: readonly ContainerSpec[];
  readonly nodeName?: string;
  readonly hostNetwork?: boolean;
  readonly serviceAccountName?: string;
}

export interface PodTemplate {
  readonly metadata?: {
    readonly labels?: Record<string, string>;
    readonly annotations?: Record<string, string>;
  };
  readonly spec?: PodSpec;
}

export interface PodObject extends ManifestObject {
  readonly metadata: ManifestObject["metadata"] & {
    readonly ownerReferences?: readonly {
      readonly kind: string;
      readonly name: string;
      readonly controller?: boolean;
    }[];
    readonly deletionTimestamp?: string;
  };
  readonly spec?: PodSpec;
  readonly status?: { readonly phase?: string; readonly podIPs?: readonly { readonly ip: string }[] };
}

export interface WorkloadObject extends ManifestObject {
  readonly metadata: PodObject["metadata"];
  readonly spec?: {
    readonly replicas?: number;
    readonly parallelism?: number;
    readonly template?: PodTemplate;
    readonly jobTemplate?: { readonly spec?: { readonly template?: PodTemplate } };
  };
}

export interface ServiceObject extends ManifestObject {
  readonly spec?: {
    readonly type?: string;
    readonly clusterIP?: string;
    readonly clusterIPs?: readonly string[];
    readonly selector?: Record<string, string>;
    readonly ports?: readonly ServicePortSpec[];
  };
}

export interface ServicePortSpec {
  readonly name?: string;
  readonly port: number;
  readonly targetPort?: number | string;
  readonly protocol?: string;
}

export interface SliceObject extends ManifestObject {
  readonly endpoints?:
    | readonly {
        readonly addresses?: readonly string[];
        readonly conditions?: { readonly ready?: boolean };
        readonly targetRef?: { readonly kind?: string; readonly name?: string };
      }[]
    | null;
  readonly ports?:
    | readonly { readonly name?: string; readonly port?: number; readonly protocol?: string }[]
    | null;
}

export interface NodeObject extends ManifestObject {
  readonly status?: {
    readonly addresses?: readonly { readonly type: string; readonly address: string }[];
  };
}
