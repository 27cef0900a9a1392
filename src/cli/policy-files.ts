// SPDX-License-Identifier: Apache-2.0
import { documentText, type ManifestDocument } from "#k8s/manifest.ts";
import { loadManifests } from "#lab/manifest.ts";
import { WeftError } from "#lib/errors.ts";
import { compileRow, languageOf } from "#policy/languages.ts";
import { sourceAnnotation, sourceLinesText } from "#policy/source-lines.ts";

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

/** Says on a policy object which file and lines it comes from, so that flows can name them. */
export function annotateSource(
  { object, file, line, lineOf }: ManifestDocument,
  namespace: string | undefined,
): Record<string, string> {
  const language = file === "stdin" ? undefined : languageOf(object);
  if (!language) return {};
  const placed = { ...object, metadata: { ...object.metadata, ...(namespace && { namespace }) } };
  const text = sourceLinesText(compileRow(language, placed).rules, { file, line, lineOf });
  return text === undefined ? {} : { [sourceAnnotation]: text };
}
