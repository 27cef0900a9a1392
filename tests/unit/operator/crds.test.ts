// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { type CustomResourceDefinition, crdSchemaVersion, crdVersionLabel } from "#api/crd/definition.ts";
import { customResourceDefinitions } from "#api/crd/definitions.ts";
import { isNotFound } from "#k8s/errors.ts";
import { type KubeObject, resources } from "#k8s/resource.ts";
import { startTestApi, type TestApi } from "#kit/test-api.ts";
import { compareVersions, decide, installDefinitions } from "#operator/crds.ts";

const signal = AbortSignal.timeout(60_000);
const resource = resources.customResourceDefinitions;
const log = pino({ level: "silent" });

async function removeAll({ client }: TestApi): Promise<void> {
  for (const { metadata } of customResourceDefinitions) {
    for (;;) {
      try {
        await client.delete(resource, { name: metadata.name }, { signal });
        await client.get(resource, { name: metadata.name }, signal);
      } catch (thrown) {
        if (isNotFound(thrown)) break;
        throw thrown;
      }
    }
  }
}

const install = ({ client }: TestApi, definitions: readonly CustomResourceDefinition[]) =>
  installDefinitions({ client, definitions, log, signal });

/** All definitions with another version, and another word in the schemas. */
function revised(version: string | undefined, description: string): CustomResourceDefinition[] {
  return customResourceDefinitions.map((definition) => {
    const { metadata, spec } = definition;
    const versions = spec.versions.map((one) => ({
      ...one,
      schema: { openAPIV3Schema: { ...one.schema.openAPIV3Schema, description } },
    }));
    const labels: Record<string, string> = version === undefined ? {} : { [crdVersionLabel]: version };
    return { ...definition, metadata: { ...metadata, labels }, spec: { ...spec, versions } };
  });
}

async function descriptionOf({ client }: TestApi, name: string): Promise<unknown> {
  const found = (await client.get<KubeObject>(resource, { name }, signal)) as CustomResourceDefinition;
  return found.spec.versions[0]?.schema.openAPIV3Schema.description;
}

test("definitions are installed, upgraded when older, left when newer, and served when it is done", async () => {
  await using api = await startTestApi();
  await removeAll(api);
  const name = "ciliumnodes.cilium.io";
  await install(api, customResourceDefinitions);
  await Promise.all(
    [
      resources.ciliumNodes,
      resources.ciliumIdentities,
      resources.ciliumEndpoints,
      resources.ciliumEndpointSlices,
    ].map((kind) => api.client.list(kind, { signal })),
  );
  const first = await api.client.get(resource, { name }, signal);
  await install(api, customResourceDefinitions);
  const second = await api.client.get(resource, { name }, signal);
  assert.equal(second.metadata?.resourceVersion, first.metadata?.resourceVersion);
  await install(api, revised("2.0.0", "newer"));
  assert.equal(await descriptionOf(api, name), "newer");
  await install(api, customResourceDefinitions);
  assert.equal(await descriptionOf(api, name), "newer", "a newer schema was replaced");
  await removeAll(api);
  await install(api, revised(undefined, "by hand"));
  await install(api, customResourceDefinitions);
  assert.equal(await descriptionOf(api, name), undefined);
});

test("somebody else's definition of another version holds up only what needs it", async () => {
  await using api = await startTestApi();
  await removeAll(api);
  const name = "ciliumloadbalancerippools.cilium.io";
  const ours = customResourceDefinitions.filter(({ metadata }) => metadata.name === name);
  const ciliums = ours.map((one) => ({
    ...one,
    metadata: { name, labels: { "io.cilium.k8s.crd.schema.version": "1.31.0" } },
    spec: { ...one.spec, versions: one.spec.versions.map((version) => ({ ...version, name: "v2alpha1" })) },
  }));
  await api.client.create(resource, ciliums[0] as KubeObject, { signal });
  const common = { client: api.client, definitions: ours, log, signal };
  await installDefinitions({ ...common, optional: new Set([name]) });
  await assert.rejects(installDefinitions({ ...common, timeoutMs: 0 }), { code: "E_CRD" });
  await removeAll(api);
});

test("two operators at once install the same", async () => {
  await using api = await startTestApi();
  await removeAll(api);
  await Promise.all([1, 2, 3].map(() => install(api, customResourceDefinitions)));
});

test("objects as agents write them fit the schemas, and what does not is refused", async () => {
  await using api = await startTestApi();
  await install(api, customResourceDefinitions);
  const { client } = api;
  const strict = { method: "POST" as const, query: { fieldValidation: "Strict", dryRun: "All" }, signal };
  const node = (spec: object) =>
    client.request<KubeObject>({
      ...strict,
      path: "/apis/cilium.io/v2/ciliumnodes",
      body: { apiVersion: "cilium.io/v2", kind: "CiliumNode", metadata: { name: "n1" }, spec },
    });
  const good = {
    bootid: "b",
    addresses: [{ type: "InternalIP", ip: "10.0.0.1" }],
    ipam: { podCIDRs: ["10.1.0.0/24", "fd00::/120"] },
  };
  await node(good);
  await assert.rejects(node({ ...good, colour: "red" }), /unknown field "spec\.colour"/);
  await assert.rejects(node({ ...good, ipam: { podCIDRs: "10.1.0.0/24" } }), /podCIDRs/);
  await client.request({
    ...strict,
    path: "/apis/cilium.io/v2alpha1/ciliumendpointslices",
    body: {
      apiVersion: "cilium.io/v2alpha1",
      kind: "CiliumEndpointSlice",
      metadata: { name: "ces-a" },
      namespace: "default",
      endpoints: [
        { name: "web", id: 300, networking: { addressing: [{ ipv4: "10.1.0.2" }], node: "10.0.0.1" } },
      ],
    },
  });
});

test("versions are compared by number", () => {
  assert.equal(compareVersions("1.10.0", "1.9.9"), 1);
  assert.equal(compareVersions("1.0", "1.0.0"), 0);
  assert.equal(compareVersions("x", "0"), -1);
  const wanted = customResourceDefinitions[0]!;
  const labelled = (labels: Record<string, string>) => decide(wanted, { metadata: { name: "x", labels } }).do;
  assert.equal(labelled({ [crdVersionLabel]: crdSchemaVersion }), "nothing");
  assert.equal(labelled({ [crdVersionLabel]: "0.9.0" }), "replace");
  assert.equal(labelled({ "io.cilium.k8s.crd.schema.version": "1.31.0" }), "keep");
  const annotations = { "policy.networking.k8s.io/bundle-version": "v0.3.0" };
  assert.deepEqual(decide(wanted, { metadata: { name: "x", annotations } }), {
    do: "keep",
    why: "it is the Kubernetes project's, version v0.3.0",
  });
  const ours = { [crdVersionLabel]: "0.9.0" };
  assert.equal(decide(wanted, { metadata: { name: "x", annotations, labels: ours } }).do, "replace");
});
