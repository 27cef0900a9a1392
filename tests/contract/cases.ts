// SPDX-License-Identifier: Apache-2.0
import type { Case } from "./case.ts";
import { customResourceCases } from "./cases/custom-resources.ts";
import { definitionCases } from "./cases/definitions.ts";
import { discoveryCases } from "./cases/discovery.ts";
import { errorCases } from "./cases/errors.ts";
import { lifecycleCases } from "./cases/lifecycle.ts";
import { listCases } from "./cases/lists.ts";
import { networkCases } from "./cases/network.ts";
import { patchCases } from "./cases/patches.ts";
import { watchCases } from "./cases/watches.ts";
import { writeCases } from "./cases/writes.ts";

/** The contract: what our agents, operator and command rely on of an API server. */
export const cases: readonly Case[] = [
  ...listCases,
  ...watchCases,
  ...writeCases,
  ...patchCases,
  ...lifecycleCases,
  ...errorCases,
  ...networkCases,
  ...definitionCases,
  ...customResourceCases,
  ...discoveryCases,
];
