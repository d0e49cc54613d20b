{{- define "portcullis.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 }}{{ end }}
{{- end }}

{{- define "portcullis.selector" -}}
app.kubernetes.io/name: portcullis
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "portcullis.labels" -}}
{{ include "portcullis.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* portcullis.yaml: `config`, with the addresses of the doors that are used. */ -}}
{{- define "portcullis.config" -}}
{{- if hasKey .Values.config "listen" }}{{ fail "config.listen is set by the chart; use `listen`" }}{{ end }}
{{- /* Probes speak plain HTTP to it. */ -}}
{{- $listen := dict "admin" (dict "address" "0.0.0.0:9194" "insecure" true) }}
{{- range $door, $port := dict "ext_authz" 9191 "forward_auth" 9192 "events" 9193 }}
{{- $more := get $.Values.listen $door }}
{{- if kindIs "map" $more }}
{{- if hasKey $more "tls" }}{{ $more = omit $more "insecure" }}{{ end }}
{{- $_ := set $listen $door (merge (dict "address" (printf "0.0.0.0:%d" (int $port))) $more) }}
{{- end }}
{{- end }}
{{- toYaml (merge (dict "listen" $listen) .Values.config) }}
{{- end }}
