// SPDX-License-Identifier: Apache-2.0
import type { Behaviour } from "./resource.ts";

/** What the built-in kinds do beyond being stored: defaults, validation, selectable fields, columns. */
export const behaviours: Readonly<Record<string, Behaviour>> = {};
