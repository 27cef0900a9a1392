// SPDX-License-Identifier: Apache-2.0
import * as z from "zod";
import { address, isPortName, labelSelector, metadata } from "./fields.ts";
import { quote, readManifest } from "./manifest.ts";

/** cilium.io/v2 CiliumLocalRedirectPolicy: what pods send to an address or a Service goes to pods of their own node. */

const port = z.strictObject({
  name: z
    .string()
    .refine(isPortName, { error: (issue) => `${quote(issue.input)} is not a port name` })
    .optional(),
  port: z.string().refine((text) => /^[1-9]\d{0,4}$/.test(text) && Number(text) <= 65_535, {
    error: (issue) => `${quote(issue.input)} is not a port`,
  }),
  protocol: z.enum(["TCP", "UDP"]),
});

type Ports = readonly z.output<typeof port>[];

/** Of several ports each has to say which of the other side's it belongs to. */
function named(ports: Ports, context: z.RefinementCtx): void {
  if (ports.length < 2) return;
  const seen = new Set<string>();
  for (const [index, { name }] of ports.entries()) {
    const issue = (message: string) => context.addIssue({ code: "custom", path: [index, "name"], message });
    if (name === undefined) issue("is required of several ports");
    else if (seen.has(name)) issue(`${quote(name)} is there twice`);
    else seen.add(name);
  }
}

export const localRedirectSpec = z
  .strictObject({
    redirectFrontend: z.strictObject({
      addressMatcher: z
        .strictObject({
          ip: address.meta({ description: "An address of no Service" }),
          toPorts: z.array(port).min(1).superRefine(named),
        })
        .optional(),
      serviceMatcher: z
        .strictObject({
          serviceName: z.string().min(1),
          namespace: z.string().min(1).meta({ description: "The policy's own" }),
          toPorts: z
            .array(port)
            .superRefine(named)
            .optional()
            .meta({ description: "Absent: all ports of the Service" }),
        })
        .optional()
        .meta({ description: "The cluster IPs of a Service" }),
    }),
    redirectBackend: z.strictObject({
      localEndpointSelector: labelSelector.meta({ description: "Labels of pods of the policy's namespace" }),
      toPorts: z.array(port).min(1).superRefine(named),
    }),
    skipRedirectFromBackend: z.boolean().optional(),
    description: z.string().optional(),
  })
  .superRefine(({ redirectFrontend: { addressMatcher, serviceMatcher }, redirectBackend }, context) => {
    if (!addressMatcher === !serviceMatcher) {
      const message = "needs one of addressMatcher and serviceMatcher";
      context.addIssue({ code: "custom", path: ["redirectFrontend"], message });
      return;
    }
    const kind = addressMatcher ? "addressMatcher" : "serviceMatcher";
    const ports = (addressMatcher ?? serviceMatcher)?.toPorts ?? [];
    for (const [index, one] of ports.entries()) {
      if (targetOf(redirectBackend.toPorts, one)) continue;
      const path = ["redirectFrontend", kind, "toPorts", index];
      const message = `has no counterpart in spec.redirectBackend.toPorts (${one.protocol}${one.name ? `, ${quote(one.name)}` : ""})`;
      context.addIssue({ code: "custom", path, message });
    }
  });

/** The port of the pods that stands for one of the other side: the only one, or the one of its name; of the same protocol. */
export function targetOf<T extends { readonly name?: string | undefined; readonly protocol: string }>(
  targets: readonly T[],
  from: { readonly name?: string | undefined; readonly protocol: string },
): T | undefined {
  const fit = targets.filter(({ protocol }) => protocol === from.protocol);
  return targets.length === 1 ? fit[0] : fit.find(({ name }) => name === from.name);
}

const localRedirectPolicy = z
  .strictObject({
    apiVersion: z.literal("cilium.io/v2"),
    kind: z.literal("CiliumLocalRedirectPolicy"),
    metadata,
    spec: localRedirectSpec,
    status: z.looseObject({ ok: z.boolean().optional() }).optional(),
  })
  .superRefine(({ metadata: { namespace }, spec }, context) => {
    const asked = spec.redirectFrontend.serviceMatcher?.namespace;
    if (asked === undefined || namespace === undefined || asked === namespace) return;
    const path = ["spec", "redirectFrontend", "serviceMatcher", "namespace"];
    context.addIssue({ code: "custom", path, message: `is not the policy's own, ${quote(namespace)}` });
  });

export type CiliumLocalRedirectPolicy = z.output<typeof localRedirectPolicy>;

/** @throws WeftError E_MANIFEST with the path of the field that is wrong */
export function readLocalRedirectPolicy(object: unknown): CiliumLocalRedirectPolicy {
  return readManifest(localRedirectPolicy, object);
}
