{{- define "rustqueue.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 40 letters: names made from it get suffixes and have to stay below 63. */}}
{{- define "rustqueue.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "rustqueue.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "rustqueue.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "rustqueue.headless" -}}{{ include "rustqueue.fullname" . }}-nodes{{- end -}}
{{- define "rustqueue.operator" -}}{{ include "rustqueue.fullname" . }}-operator{{- end -}}

{{- define "rustqueue.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "rustqueue.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "rustqueue.adminSecret" -}}
{{- default (printf "%s-admin" (include "rustqueue.fullname" .)) .Values.auth.existingSecret -}}
{{- end -}}

{{- define "rustqueue.sealSecret" -}}
{{- default (printf "%s-seal" (include "rustqueue.fullname" .)) .Values.seal.existingSecret -}}
{{- end -}}

{{- define "rustqueue.peerSecret" -}}
{{- default (printf "%s-peers" (include "rustqueue.fullname" .)) .Values.cluster.existingSecret -}}
{{- end -}}

{{- define "rustqueue.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}

{{- define "rustqueue.scheme" -}}{{ ternary "https" "http" (ne .Values.tls.existingSecret "") }}{{- end -}}

{{- define "rustqueue.address" -}}
{{ include "rustqueue.scheme" . }}://{{ include "rustqueue.fullname" . }}.{{ .Release.Namespace }}.svc:{{ .Values.service.httpPort }}
{{- end -}}

{{/* Labels of selectors: they never change, so neither chart nor application version is among them. */}}
{{- define "rustqueue.selector" -}}
app.kubernetes.io/name: {{ include "rustqueue.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "rustqueue.labels" -}}
{{ include "rustqueue.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: rustqueue
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* What the variables are called that every tool for S3 reads. */}}
{{- define "rustqueue.objectStore" -}}
{{- with .Values.objectStore.endpoint }}
- {name: AWS_ENDPOINT_URL, value: {{ . | quote }}}
{{- end }}
- {name: AWS_REGION, value: {{ .Values.objectStore.region | quote }}}
{{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ . }}
  valueFrom: {secretKeyRef: {name: {{ $.Values.objectStore.existingSecret }}, key: {{ . }}}}
{{- end }}
{{- end -}}

{{/* Restricted pod security, the same for every container of ours. */}}
{{- define "rustqueue.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "rustqueue.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Namespaces that the operator serves; empty for all. */}}
{{- define "rustqueue.served" -}}
{{- if has "*" .Values.operator.namespaces -}}
{{- else if .Values.operator.namespaces -}}
{{- join "," (uniq .Values.operator.namespaces) -}}
{{- else -}}
{{- .Release.Namespace -}}
{{- end -}}
{{- end -}}

{{/* Stands once the cluster is there: a node that comes later must join, not begin another cluster. */}}
{{- define "rustqueue.firstMembers" -}}
{{- $present := lookup "apps/v1" "StatefulSet" .Release.Namespace (include "rustqueue.fullname" .) -}}
{{- $kept := "" -}}
{{- if $present -}}
{{- $kept = get (default dict $present.metadata.annotations) "rustqueue.io/first-members" -}}
{{- end -}}
{{- if .Values.cluster.firstMembers -}}
{{- .Values.cluster.firstMembers -}}
{{- else -}}
{{- default .Values.replicas $kept -}}
{{- end -}}
{{- end -}}

{{/* The template of volumes cannot be changed any more; what they are to be now stands in an annotation. */}}
{{- define "rustqueue.firstStorage" -}}
{{- $present := lookup "apps/v1" "StatefulSet" .Release.Namespace (include "rustqueue.fullname" .) -}}
{{- if .Values.storage.firstSize -}}
{{- .Values.storage.firstSize -}}
{{- else if $present -}}
{{- (first $present.spec.volumeClaimTemplates).spec.resources.requests.storage -}}
{{- else -}}
{{- .Values.storage.size -}}
{{- end -}}
{{- end -}}

{{/* Not empty for a cluster, of whatever size it is now: one that was made smaller stays what it began as. */}}
{{- define "rustqueue.clustered" -}}
{{- if gt (int (include "rustqueue.firstMembers" .)) 1 -}}true{{- end -}}
{{- end -}}
