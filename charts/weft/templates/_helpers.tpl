{{- /* Labels of every object. */ -}}
{{- define "weft.labels" -}}
app.kubernetes.io/name: weft
app.kubernetes.io/part-of: weft
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "weft.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "weft.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Everything listens on both families where pods have both. */ -}}
{{- define "weft.anyAddress" -}}
{{- if eq .Values.config.families "v4" }}0.0.0.0{{ else }}[::]{{ end }}
{{- end }}

{{- /* Until Weft runs nobody answers on the ClusterIP of the API server. */ -}}
{{- define "weft.apiServer" -}}
{{- with .Values.apiServer.host }}
apiServer:
  host: {{ . | quote }}
  port: {{ $.Values.apiServer.port }}
{{- end }}
{{- end }}

{{- define "weft.agentConfig" -}}
{{ toYaml .Values.config }}
{{- include "weft.apiServer" . }}
observer:
  listen: "{{ include "weft.anyAddress" . }}:4244"
metrics:
  listen: "{{ include "weft.anyAddress" . }}:9962"
{{- end }}

{{- define "weft.operatorConfig" -}}
clusterName: {{ .Values.config.clusterName | quote }}
ipam: {{ .Values.config.ipam }}
endpointSlices: {{ .Values.config.endpointSlices }}
l2Announcements:
  enabled: {{ .Values.config.l2Announcements.enabled }}
{{- include "weft.apiServer" . }}
{{- with .Values.operator.config }}
{{ toYaml . }}
{{- end }}
metrics:
  listen: "{{ include "weft.anyAddress" . }}:9963"
{{- end }}

{{- define "weft.hook" -}}
"helm.sh/hook": pre-delete
"helm.sh/hook-delete-policy": before-hook-creation,hook-succeeded
{{- end }}

{{- define "weft.relayConfig" -}}
clusterName: {{ .Values.config.clusterName | quote }}
{{- if .Values.relay.tlsSecret }}
# Without TLS only for who comes by way of the API server.
observer:
  listen: "127.0.0.1:4246"
tls:
  listen: "{{ include "weft.anyAddress" . }}:4245"
  cert: /etc/weft-tls/tls.crt
  key: /etc/weft-tls/tls.key
{{- else }}
observer:
  listen: "{{ include "weft.anyAddress" . }}:4245"
{{- end }}
health:
  listen: "{{ include "weft.anyAddress" . }}:4222"
metrics:
  listen: "{{ include "weft.anyAddress" . }}:9966"
{{- end }}
