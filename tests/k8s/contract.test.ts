// SPDX-License-Identifier: Apache-2.0
// The contract of tests/contract, against the real thing: Kubernetes' own programs on loopback, without nodes.
import { kubernetesTarget } from "../contract/control-plane.ts";
import { contractTests } from "../contract/suite.ts";
import { buildArtifacts } from "./build/build.ts";

contractTests(async () => kubernetesTarget((await buildArtifacts()).bin));
