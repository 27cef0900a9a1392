// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { LbTableShape } from "#datapath/layouts/enums.ts";
import { parseObject } from "#kernel/bpf/spec.ts";
import { bpfObject } from "#lib/assets.ts";
import { serviceMapSizes } from "#services/capacity.ts";

test("room for services is room in maps that are there, and for 64 k of them what each needs", () => {
  const spec = parseObject(readFileSync(bpfObject("sock")));
  const host = parseObject(readFileSync(bpfObject("host")));
  const sizes = serviceMapSizes({ capacity: 65_536, algorithm: "random" });
  for (const name of Object.keys(sizes)) assert.ok(spec.maps.has(name) || host.maps.has(name), name);
  assert.ok(sizes["lb_frontends"]! >= 65_536);
  assert.ok(
    sizes["lb_slots"]! >= sizes["lb_frontends"]! &&
      sizes["lb_slots"]! * LbTableShape.row >= sizes["lb_backends"]!,
  );
  const hashed = serviceMapSizes({ capacity: 65_536, algorithm: "maglev" });
  assert.equal(hashed["lb_tables"], 65_536);
  assert.equal(sizes["lb_tables"], 8192);
});
