{{- define "relay.name" -}}
{{- if contains "relay" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-relay" (.Release.Name | trunc 34 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "relay.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/name: relay
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "relay.serverSelector" -}}
app.kubernetes.io/name: relay
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{- /* (dict "image" … "default" … "chart" …) */ -}}
{{- define "relay.image" -}}
{{- $image := .image | default .default -}}
{{ $image.repository }}:{{ $image.tag | default .chart.AppVersion }}
{{- end }}

{{- define "relay.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "relay.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Whether the servers have a port for metrics: "true" or nothing. */ -}}
{{- define "relay.metricsPort" -}}
{{- if or .Values.metrics.enabled .Values.serviceMonitor.enabled }}true{{ end }}
{{- end }}

{{- /* The name under which clients check the certificate. */ -}}
{{- define "relay.address" -}}
{{ include "relay.name" . }}.{{ .Release.Namespace }}.svc
{{- end }}

{{- /* (dict "root" $ "path" … "grpc" …): by HTTP where the kubelet can ask, see server.yaml. */ -}}
{{- define "relay.probe" -}}
{{- $values := .root.Values -}}
{{- if not $values.tls.enabled }}
grpc: {port: {{ $values.service.grpcPort }}, service: {{ .grpc | quote }}}
{{- else if $values.tls.requireClientCertificate }}
exec: {command: {{ .command }}}
{{- else }}
httpGet: {path: {{ .path }}, port: http, scheme: HTTPS}
{{- end }}
{{- end }}
