// SPDX-License-Identifier: Apache-2.0
import { Command } from "commander";
import { generateCommand } from "./policy-generate.ts";
import { policyGetCommand } from "./policy-get.ts";
import { matrixCommand } from "./policy-matrix.ts";
import { previewCommand } from "./policy-preview.ts";
import { testCommand } from "./policy-test.ts";

export function policyCommand(): Command {
  return new Command("policy")
    .description("network policies: what is in force, and what would be")
    .addCommand(policyGetCommand())
    .addCommand(testCommand())
    .addCommand(matrixCommand())
    .addCommand(previewCommand())
    .addCommand(generateCommand());
}
