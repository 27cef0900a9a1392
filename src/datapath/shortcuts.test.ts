// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { shortcutPlaces } from "./shortcuts.ts";

test("places for shortcuts: as many as a mask can say, 4 MB in all until each CPU has its least", () => {
  const placeBytes = 128;
  for (const cpus of [1, 2, 3, 4, 7, 16, 32, 64, 255]) {
    const places = shortcutPlaces(cpus);
    assert.equal(places & (places - 1), 0, `${places} is a power of two`);
    assert.ok(places >= 1024 && places <= 8192);
    if (cpus <= 32) assert.ok(places * cpus * placeBytes <= 4 << 20);
  }
  assert.deepEqual(
    [1, 4, 5, 8, 64].map((cpus) => shortcutPlaces(cpus)),
    [8192, 8192, 4096, 4096, 1024],
  );
});
