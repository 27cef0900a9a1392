// SPDX-License-Identifier: Apache-2.0
/** Every program of every object passes the verifier, for each kind of node. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ConfigFlag } from "#datapath/layouts/enums.ts";
import { nodeConfigLayout } from "#datapath/layouts/node-config.ts";
import { loadCollection } from "#kernel/bpf/object.ts";
import { encode } from "#kernel/bpf/typed-map.ts";
import { compiledSpec } from "#kit/bpf-object.ts";
import { at } from "#kit/datapath.ts";
import { parseAddress } from "#model/ip.ts";

/** The kernel's bound is a million; a load that needs a tenth of it is felt at every start of the agent. */
const MOST_INSTRUCTIONS = 100_000;

const objects = ["pod", "host", "overlay", "sock", "announce", "xdp", "sockmap", "sock-probe"] as const;

interface Variant {
  readonly routing: "tunnel" | "native";
  readonly families: "v4" | "v6" | "dual";
  readonly masquerade: boolean;
}

const variants: readonly Variant[] = (["tunnel", "native"] as const).flatMap((routing) =>
  (["v4", "v6", "dual"] as const).flatMap((families) =>
    [true, false].map((masquerade) => ({ routing, families, masquerade })),
  ),
);

function configOf({ routing, families, masquerade }: Variant): Uint8Array {
  const v4 = families !== "v6";
  const v6 = families !== "v4";
  return encode(nodeConfigLayout, {
    nodeV4: v4 ? parseAddress(at.v4.node) : undefined,
    nodeV6: v6 ? parseAddress(at.v6.node) : undefined,
    routerV4: v4 ? parseAddress(at.v4.router) : undefined,
    routerV6: v6 ? parseAddress(at.v6.router) : undefined,
    nativeV4: undefined,
    nativeV6: undefined,
    nativeV4Bits: 0,
    nativeV6Bits: 0,
    tunnelIfindex: routing === "tunnel" ? 7 : 0,
    overlayIfindex: 7,
    deviceIfindex: 2,
    flags:
      (v4 ? ConfigFlag.ipv4 : 0) |
      (v6 ? ConfigFlag.ipv6 : 0) |
      (v4 && masquerade ? ConfigFlag.masqueradeV4 : 0) |
      (v6 && masquerade ? ConfigFlag.masqueradeV6 : 0) |
      ConfigFlag.flows |
      ConfigFlag.refuse |
      (masquerade
        ? ConfigFlag.denyIcmp | ConfigFlag.hostFirewall | ConfigFlag.egressGateway | ConfigFlag.genericXdp
        : 0) |
      (routing === "native" && masquerade ? ConfigFlag.dsrIpip : ConfigFlag.dsrGeneve),
    eventIntervalSec: 5,
    worldV4: 9,
    worldV6: 10,
    shortcuts: 1024,
    natPortMin: 61_000,
    natPortMax: 65_535,
    mtu: 1500,
    deviceMac: "02:00:00:00:00:bb",
    hostNetns: 1n,
    natSeed: 1n,
  });
}

for (const object of objects) {
  describe(`${object}.bpf.c`, () => {
    const spec = compiledSpec(`bpf/${object}.bpf.c`);
    for (const variant of variants) {
      const title = `${variant.routing}, ${variant.families}${variant.masquerade ? ", masquerade" : ""}`;
      it(`passes the verifier: ${title}`, (t) => {
        const options = spec.variables.has("config") ? { rodata: { config: configOf(variant) } } : {};
        using loaded = loadCollection(spec, options);
        for (const [name, program] of loaded.programs) {
          const { verifiedInstructions } = program.info();
          t.diagnostic(`${name}: ${verifiedInstructions} instructions verified`);
          assert.ok(verifiedInstructions < MOST_INSTRUCTIONS, name);
        }
      });
    }
  });
}
