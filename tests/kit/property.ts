// SPDX-License-Identifier: Apache-2.0
/**
 * fast-check for tests, the same cases each time: a run of `npm test` can be repeated. WEFT_SEED asks for others; a failure says the seed it
 * had, and what a new one finds becomes a test or a story.
 */
import fc from "fast-check";

export { default } from "fast-check";

/** Of every property test in this process. */
export const propertySeed = Number(process.env.WEFT_SEED ?? 1);

fc.configureGlobal({ seed: propertySeed });
