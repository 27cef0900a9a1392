// SPDX-License-Identifier: Apache-2.0
import { documentText, loadManifests } from "#lab/manifest.ts";
import { WeftError } from "#lib/errors.ts";
import { compileCiliumPolicy } from "#policy/from-cilium.ts";
import { compileNetworkPolicy } from "#policy/from-network-policy.ts";

const languages: Readonly<Record<string, (object: unknown) => unknown>> = {
  "networking.k8s.io/v1 NetworkPolicy": compileNetworkPolicy,
  "cilium.io/v2 CiliumNetworkPolicy": compileCiliumPolicy,
  "cilium.io/v2 CiliumClusterwideNetworkPolicy": compileCiliumPolicy,
};

/**
 * Refuses files with a policy that cannot be enforced as written, before anything of them is applied: the agents would refuse
 * it too, but only its status would tell. What is malformed is left to the API server, which knows every kind.
 * @throws WeftError E_POLICY_UNSUPPORTED with file, document and field; as `loadManifests`
 */
export function checkPolicyFiles(paths: readonly string[]): void {
  for (const document of loadManifests(paths)) {
    const { apiVersion, kind } = document.object;
    try {
      languages[`${apiVersion} ${kind}`]?.(document.object);
    } catch (thrown) {
      if (!(thrown instanceof WeftError) || thrown.code !== "E_POLICY_UNSUPPORTED") continue;
      throw new WeftError(thrown.code, `${documentText(document)}: ${thrown.message}`, { cause: thrown });
    }
  }
}
