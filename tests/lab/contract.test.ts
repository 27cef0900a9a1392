// SPDX-License-Identifier: Apache-2.0
// The part of tests/contract that needs nodes, against a lab.
import { spawnSync } from "node:child_process";
import { suite } from "node:test";
import { kubectl, useLab } from "#kit/lab-use.ts";
import { podContractTests } from "../contract/pods.ts";

const skip =
  spawnSync("kubectl", ["version", "--client"]).status === 0 ? false : "there is no kubectl on the PATH";

suite("pods of a lab, as kubectl sees those of any cluster", { skip }, () => {
  useLab({ nodes: 1 });
  podContractTests(() =>
    Promise.resolve({
      image: "busybox",
      kubectl: (args, input) =>
        kubectl(args, { timeoutMs: 90_000, ...(input === undefined ? {} : { input }) }),
    }),
  );
});
