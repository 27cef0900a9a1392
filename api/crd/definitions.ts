// SPDX-License-Identifier: Apache-2.0
import { type CustomResourceDefinition, definitionOf } from "./definition.ts";
import { policyKinds } from "./policy-kinds.ts";
import { serviceKinds } from "./service-kinds.ts";
import { stateKinds } from "./state-kinds.ts";

/** The kinds that Weft serves and reads, ready to be applied to an API server. */
export const customResourceDefinitions: readonly CustomResourceDefinition[] = [
  ...policyKinds,
  ...serviceKinds,
  ...stateKinds,
].map(definitionOf);
