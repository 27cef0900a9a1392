// SPDX-License-Identifier: Apache-2.0
import { embeddedTarget } from "./embedded.ts";
import { contractTests } from "./suite.ts";

contractTests(embeddedTarget);
