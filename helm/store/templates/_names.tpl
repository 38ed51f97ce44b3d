{{- define "store.name" -}}
{{- $name := .Values.name | default .Release.Name -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$" $name) }}
{{- fail (printf "the store would be called %q: a name has at most 40 lower-case letters, digits and dashes, a letter first. Set name, or another release name" $name) }}
{{- end }}
{{- $name }}
{{- end }}

{{- define "store.labels" -}}
app.kubernetes.io/name: mainstay
app.kubernetes.io/instance: {{ include "store.name" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}
