// SPDX-License-Identifier: Apache-2.0
import { documentText } from "#k8s/manifest.ts";
import { loadManifests } from "#lab/manifest.ts";
import { WeftError } from "#lib/errors.ts";
import { languageOf } from "#policy/languages.ts";

/**
 * Refuses files with a policy that cannot be enforced as written, before anything of them is applied: the agents would refuse
 * it too, but only its status would tell. What is malformed is left to the API server, which knows every kind.
 * @throws WeftError E_POLICY_UNSUPPORTED with file, document and field; as `loadManifests`
 */
export function checkPolicyFiles(paths: readonly string[]): void {
  for (const document of loadManifests(paths)) {
    try {
      languageOf(document.object)?.compile(document.object);
    } catch (thrown) {
      if (!(thrown instanceof WeftError) || thrown.code !== "E_POLICY_UNSUPPORTED") continue;
      throw new WeftError(thrown.code, `${documentText(document)}: ${thrown.message}`, { cause: thrown });
    }
  }
}
