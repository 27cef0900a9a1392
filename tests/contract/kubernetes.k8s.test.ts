// SPDX-License-Identifier: Apache-2.0
import { kubernetesTarget } from "./control-plane.ts";
import { contractTests } from "./suite.ts";

contractTests(() => kubernetesTarget(process.env["WEFT_K8S_BIN"] ?? "build/k8s/bin"));
