{{/* Names, labels and the values that several templates need. */}}

{{- define "mainstay.name" -}}
{{- if contains "mainstay" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}{{ printf "%s-mainstay" (.Release.Name | trunc 43 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "mainstay.serviceAccountName" -}}
{{ .Values.serviceAccount.name | default (include "mainstay.name" .) }}
{{- end }}

{{- define "mainstay.selectorLabels" -}}
app.kubernetes.io/name: mainstay
app.kubernetes.io/component: operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mainstay.labels" -}}
{{ include "mainstay.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* The namespace that it looks after, and that of its leader lease; empty: all. */}}
{{- define "mainstay.watchNamespace" -}}
{{- if .Values.namespaced }}{{ .Values.watchNamespace | default .Release.Namespace }}{{ end }}
{{- end }}

{{- define "mainstay.imageRepository" -}}
{{- with .Values.image.registry }}{{ . | trimSuffix "/" }}/{{ end }}{{ .Values.image.repository }}
{{- end }}

{{- define "mainstay.image" -}}
{{- $name := include "mainstay.imageRepository" . -}}
{{- with .Values.image.digest }}{{ $name }}@{{ . }}{{ else }}{{ $name }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* What the schema cannot say in a sentence. */}}
{{- define "mainstay.validate" -}}
{{- if and .Values.watchNamespace (not .Values.namespaced) }}
{{- fail (printf "watchNamespace is %q, but namespaced is false, which looks after all namespaces: set namespaced=true, or leave watchNamespace out" .Values.watchNamespace) }}
{{- end }}
{{- if and .Values.image.digest (not (regexMatch "^sha256:[0-9a-f]{64}$" .Values.image.digest)) }}
{{- fail (printf "image.digest is %q: it must be sha256: and 64 hexadecimal digits, as the registry shows it" .Values.image.digest) }}
{{- end }}
{{- if regexMatch "[:@][^/]*$" .Values.image.repository }}
{{- fail (printf "image.repository is %q: leave out what comes after the name, and give it as image.tag or image.digest" .Values.image.repository) }}
{{- end }}
{{- if regexMatch "^[a-z]+://" .Values.image.registry }}
{{- fail (printf "image.registry is %q: it is a host without a scheme, for example registry.example.com:5000" .Values.image.registry) }}
{{- end }}
{{- if and .Values.storeImageRepository (regexMatch "[:@][^/]*$" .Values.storeImageRepository) }}
{{- fail (printf "storeImageRepository is %q: leave out the tag, each StoreCluster has its own version" .Values.storeImageRepository) }}
{{- end }}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
{{- fail "serviceAccount.create is false: then serviceAccount.name must say which account the operator runs under" }}
{{- end }}
{{- end }}
