// SPDX-License-Identifier: Apache-2.0
// The part of tests/contract that needs nodes, against the real thing.
import { join } from "node:path";
import { after, suite } from "node:test";
import { podContractTests } from "../../contract/pods.ts";
import { clusterEnv } from "../cluster/cluster.ts";
import { tryCommand } from "../cluster/command.ts";
import { inNamespace } from "../cluster/network.ts";
import { type WeftCluster, weftCluster } from "../cluster/weft.ts";

suite("pods of a real cluster, as kubectl sees those of the lab", () => {
  let cluster: WeftCluster | undefined;
  after(() => cluster?.[Symbol.asyncDispose]());
  podContractTests(async () => {
    const running = await weftCluster({ name: "pods", nodes: 1 });
    cluster = running;
    const { netns, kubeconfig } = running.layout;
    const program = [join(running.bin, "kubectl"), `--kubeconfig=${kubeconfig}`];
    const env = clusterEnv(running);
    return {
      image: "e2e.local/busybox:1.37.0-1",
      kubectl: (args, input) =>
        tryCommand(inNamespace(netns, [...program, ...args]), {
          env,
          ...(input === undefined ? {} : { input }),
        }),
    };
  });
});
