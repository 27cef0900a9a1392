// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";
import { readManifest, withoutNulls } from "#api/crd/manifest.ts";
import type { ManifestObject } from "#k8s/manifest.ts";
import { WeftError } from "#lib/errors.ts";
import type { SourcedObject } from "./objects.ts";
import { workloadKinds } from "./pods.ts";

/**
 * What is read of objects that are no policies, as far as it is read: `objects.ts` says the same to the compiler. Manifests come from people,
 * before any API server has looked at them.
 */

const text = z.string();
const texts = z.record(text, text).optional();
const condition = z.looseObject({ ready: z.boolean().optional() }).optional();
const owner = z.looseObject({ kind: text, name: text, controller: z.boolean().optional() });
const metadata = {
  labels: texts,
  annotations: texts,
  ownerReferences: z.array(owner).optional(),
};
const port = z.looseObject({ name: text.optional(), port: z.int().optional(), protocol: text.optional() });
const containerPort = z.looseObject({
  name: text.optional(),
  containerPort: z.int(),
  protocol: text.optional(),
});
const containers = z
  .array(z.looseObject({ ports: z.array(containerPort).optional(), restartPolicy: text.optional() }))
  .optional();
const podSpec = z
  .looseObject({
    containers,
    initContainers: containers,
    nodeName: text.optional(),
    hostNetwork: z.boolean().optional(),
    serviceAccountName: text.optional(),
  })
  .optional();
const template = z
  .looseObject({ metadata: z.looseObject({ labels: texts, annotations: texts }).optional(), spec: podSpec })
  .optional();

const object = (fields: z.core.$ZodLooseShape = {}) =>
  z.looseObject({ metadata: z.looseObject(metadata), ...fields });

const workload = object({
  spec: z
    .looseObject({
      replicas: z.int().optional(),
      parallelism: z.int().optional(),
      template,
      jobTemplate: z.looseObject({ spec: z.looseObject({ template }).optional() }).optional(),
    })
    .optional(),
});

const schemas: Readonly<Record<string, z.ZodType>> = {
  "v1 Pod": object({
    spec: podSpec,
    status: z
      .looseObject({
        phase: text.optional(),
        podIPs: z.array(z.looseObject({ ip: text })).optional(),
      })
      .optional(),
  }),
  "v1 Node": object({
    status: z
      .looseObject({ addresses: z.array(z.looseObject({ type: text, address: text })).optional() })
      .optional(),
  }),
  "v1 Service": object({
    spec: z
      .looseObject({
        type: text.optional(),
        clusterIP: text.optional(),
        clusterIPs: z.array(text).optional(),
        selector: texts,
        ports: z
          .array(port.extend({ port: z.int(), targetPort: z.union([z.int(), text]).optional() }))
          .optional(),
      })
      .optional(),
  }),
  "cilium.io/v2 CiliumIdentity": object({ "security-labels": texts }),
};

const slice = object({
  endpoints: z
    .array(
      z.looseObject({
        addresses: z.array(text).optional(),
        conditions: condition,
        targetRef: z.looseObject({ kind: text.optional(), name: text.optional() }).optional(),
      }),
    )
    .optional(),
  ports: z.array(port).optional(),
});
const other = object();

function schemaOf({ apiVersion, kind }: ManifestObject): z.ZodType {
  if (workloadKinds.has(kind)) return workload;
  return kind === "EndpointSlice" ? slice : (schemas[`${apiVersion} ${kind}`] ?? other);
}

/**
 * The object with fields that are null left out.
 * @throws WeftError E_MANIFEST with the path of the field that is wrong, and where it stands if in a file
 */
export function checkedObject(one: SourcedObject): SourcedObject {
  const value = withoutNulls(one.object);
  try {
    readManifest(schemaOf(one.object), value);
  } catch (cause) {
    const { message, hint } = cause as WeftError;
    const place = one.sourceOf ? `${one.sourceOf("")}: ` : "";
    throw new WeftError("E_MANIFEST", `${place}${message}`, { cause, ...(hint && { hint }) });
  }
  return { ...one, object: value as SourcedObject["object"] };
}
