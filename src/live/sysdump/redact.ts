// SPDX-License-Identifier: Apache-2.0

const mark = "<redacted>";

/** Names of things that are secrets: of environment variables, of keys, of settings in text. */
const secretWords =
  "token|passw(?:or)?d|secret|credential|api[-_]?key|private[-_]?key|access[-_]?key|client-key|client-certificate-data|kubeconfig|authorization";
const secretName = new RegExp(secretWords, "i");
/** Keys that have such a word in their name and hold no secret. */
const harmless =
  /^(?:secretName|tokenExpirationSeconds|automountServiceAccountToken|imagePullSecrets?|pullSecrets|serviceAccountToken|secret|secretRef|secretKeyRef|token_?path|tokenFile)$/;
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration";

const patterns: readonly (readonly [RegExp, string])[] = [
  // Private keys, also with their line ends written as \n.
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, mark],
  // PEM in base64, as kubeconfigs have it.
  [/LS0tLS1CRUdJTi[A-Za-z0-9+/=]{20,}/g, mark],
  // JSON web tokens.
  [/\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g, mark],
  [/\b((?:bearer|basic)\s+)[\w.~+/=-]{8,}/gi, `$1${mark}`],
  [/(\b[a-z][a-z0-9+.-]*:\/\/[^\s/:@"']*:)[^\s/@"']+@/gi, `$1${mark}@`],
  [
    new RegExp(
      `([\\w.-]*(?:${secretWords})[\\w.-]*\\\\?["']?\\s*[:=]\\s*\\\\?["']?)(?!<redacted>)([^\\s"',;}\\\\]{3,})`,
      "gi",
    ),
    `$1${mark}`,
  ],
];

/** Text without what looks like a secret. */
export function redactText(text: string): string {
  return patterns.reduce((left, [pattern, to]) => left.replace(pattern, to), text);
}

/**
 * An object without secrets: data of Secrets, values of environment variables and settings named like one, last applied configurations,
 * and what looks like one in any text. Managed fields go too: they only make it long.
 */
export function redactObject(value: unknown): unknown {
  if (typeof value === "string") return redactText(value);
  if (Array.isArray(value)) return value.map(redactObject);
  if (typeof value !== "object" || value === null) return value;
  const fields = value as Record<string, unknown>;
  const isSecret = fields["kind"] === "Secret";
  const isVariable = typeof fields["name"] === "string" && typeof fields["value"] === "string";
  const out: Record<string, unknown> = {};
  for (const [key, one] of Object.entries(fields)) {
    if (key === "managedFields" || key === lastApplied) continue;
    if (isSecret && (key === "data" || key === "stringData")) out[key] = mark;
    else if (isVariable && key === "value" && secretName.test(fields["name"] as string)) out[key] = mark;
    else if (typeof one === "string" && secretName.test(key) && !harmless.test(key)) out[key] = mark;
    else out[key] = redactObject(one);
  }
  return out;
}
