// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { test } from "node:test";
import { renderTemplates } from "./render.ts";

function render(source: string, context: unknown = {}): string {
  return renderTemplates([{ name: "t.yaml", source }], context)[0]!.text;
}

const values = { Values: { name: "net", on: true, none: "", list: ["a", "b"], map: { z: 1, a: 2 }, n: 3 } };

for (const [source, wanted] of [
  ["{{ .Values.name }}-{{ .Values.absent }}", "net-"],
  ["a\n  {{- /* gone */ -}}\n  b", "ab"],
  ["a {{- .Values.name -}} b", "anetb"],
  ["{{ if .Values.on }}y{{ else }}n{{ end }}", "y"],
  ["{{ if .Values.none }}y{{ else if eq .Values.n 3 }}three{{ else }}n{{ end }}", "three"],
  ["{{ if and .Values.on (not .Values.none) }}y{{ end }}", "y"],
  ["{{ if or .Values.none .Values.map }}y{{ end }}", "y"],
  ["{{ with .Values.map }}{{ .a }}{{ $.Values.n }}{{ end }}", "23"],
  ["{{ with .Values.none }}{{ . }}{{ else }}{{ .Values.n }}{{ end }}", "3"],
  ["{{ range .Values.list }}<{{ . }}>{{ end }}", "<a><b>"],
  ["{{ range $k, $v := .Values.map }}{{ $k }}{{ $v }} {{ end }}", "a2 z1 "],
  ["{{ range .Values.none }}x{{ else }}empty{{ end }}", "empty"],
  ['{{ define "d" }}[{{ .n }}]{{ end }}{{ include "d" .Values | quote }}', '"[3]"'],
  ["{{ $x := .Values.name }}{{ $x }}", "net"],
  ['{{ .Values.none | default "fallback" }}', "fallback"],
  ["x:{{ toYaml .Values.map | nindent 2 }}", "x:\n  a: 2\n  z: 1"],
  ['{{ printf "%s-%d %q" .Values.name 7 "q" }}', 'net-7 "q"'],
  ["{{ gt (int .Values.n) 2 }}", "true"],
] as const)
  test(`renders as Go does: ${source}`, () => assert.equal(render(source, values), wanted));

for (const [source, problem] of [
  ["\n{{ .Values.absent.deep }}", /t\.yaml:2: "\.Values\.absent\.deep": what has the field "deep" is absent/],
  ["{{ tpl .Values.name . }}", /t\.yaml:1: function "tpl" is not of the subset/],
  ['{{ template "d" . }}', /"template" is not of the subset/],
  ["{{ if .Values.on }}", /"if" has no end/],
  ["{{ end }}", /"end" without a beginning/],
  ["{{ .Values.name", /the action has no end/],
  ["{{ .Values.name .Values.n }}", /two values beside each other/],
  ["{{ $y }}", /there is no variable \$y/],
  ['{{ include "nope" . }}', /no template "nope" is defined/],
  ['{{ define "d" }}{{ include "d" . }}{{ end }}{{ include "d" . }}', /includes itself without end/],
  ["{{ .Values.map }}", /has to go through toYaml/],
  ["{{ 1048576 }}", /has to go through toYaml/],
  ['{{ fail "because" }}', /fail: because/],
] as const)
  test(`refuses with file and line: ${source}`, () =>
    assert.throws(() => render(source, values), { code: "E_TEMPLATE", message: problem }));
