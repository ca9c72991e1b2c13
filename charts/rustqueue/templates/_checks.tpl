{{/* What a schema cannot say, as one sentence each, before anything is installed. */}}
{{- define "rustqueue.checks" -}}
{{- if and (has "*" .Values.operator.namespaces) (gt (len .Values.operator.namespaces) 1) -}}
{{- fail "operator.namespaces: \"*\" means all namespaces, so name no others beside it." -}}
{{- end -}}
{{- if and (include "rustqueue.clustered" .) (hasKey .Values.settings "cluster") -}}
{{- fail "settings.cluster: the chart makes this section from replicas; remove it from settings." -}}
{{- end -}}
{{- if and (gt (int .Values.replicas) 1) (eq (include "rustqueue.firstMembers" .) "1") -}}
{{- fail "replicas: this release began with a single node, which cannot become a cluster by scaling; install a second release and move." -}}
{{- end -}}
{{- if and (include "rustqueue.clustered" .) (gt (len (include "rustqueue.fullname" .)) 29) -}}
{{- fail (printf "fullnameOverride: %s is too long for a cluster, whose nodes are known by 32 letters at most: set one of up to 29." (include "rustqueue.fullname" .)) -}}
{{- end -}}
{{- if hasKey (default dict .Values.settings.webhooks) "enabled" -}}
{{- fail "settings.webhooks.enabled: use webhooks.enabled instead." -}}
{{- end -}}
{{- if hasKey (default dict .Values.settings.security) "key_file" -}}
{{- fail "settings.security.key_file: use seal.existingSecret instead." -}}
{{- end -}}
{{- if and .Values.restore.url (or .Values.restore.file .Values.restore.existingClaim) -}}
{{- fail "restore: url names the whole backup; remove existingClaim and file." -}}
{{- end -}}
{{- if and .Values.backup.url .Values.backup.existingClaim -}}
{{- fail "backup: goes to url or to existingClaim, not to both." -}}
{{- end -}}
{{- if and (or .Values.backup.url .Values.restore.url) (not .Values.objectStore.existingSecret) -}}
{{- fail "objectStore.existingSecret: backup.url and restore.url need a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY." -}}
{{- end -}}
{{- if ne (empty .Values.restore.file) (empty .Values.restore.existingClaim) -}}
{{- fail "restore: needs both existingClaim and file, or neither." -}}
{{- end -}}
{{- if and (or .Values.backup.enabled .Values.restore.file .Values.restore.url) (eq (get (default dict .Values.settings.storage) "backend") "memory") -}}
{{- fail "backup, restore: settings.storage.backend is memory, which keeps nothing." -}}
{{- end -}}
{{- if and .Values.auth.serviceAccounts (not .Values.auth.enabled) -}}
{{- fail "auth.serviceAccounts: needs auth.enabled; without it everybody may do everything." -}}
{{- end -}}
{{- if hasKey .Values.settings "server" -}}
{{- range $key := list "host" "http_port" "tcp_port" "tls_cert" "tls_key" -}}
{{- if hasKey $.Values.settings.server $key -}}
{{- fail (printf "settings.server.%s: set by the chart; use service.* or tls.* instead." $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (hasKey .Values.settings "auth") (or (hasKey .Values.settings.auth "tokens") (hasKey .Values.settings.auth "enabled")) -}}
{{- fail "settings.auth: tokens do not belong into values; use auth.enabled and auth.existingSecret." -}}
{{- end -}}
{{- if and .Values.admissionPolicies.webhookHosts.enabled (not .Values.admissionPolicies.webhookHosts.allowed) -}}
{{- fail "admissionPolicies.webhookHosts: enabled without a single allowed host, so no Webhook could be made." -}}
{{- end -}}
{{- if and .Values.tls.existingSecret (not .Values.tls.ca) .Values.operator.enabled -}}
{{- fail "tls.ca: needed with tls.existingSecret, or the operator cannot check the nodes' certificate." -}}
{{- end -}}
{{- if and .Values.serviceAccount.name (not .Values.serviceAccount.create) (eq .Values.serviceAccount.name (include "rustqueue.operator" .)) -}}
{{- fail "serviceAccount.name: nodes must not run under the operator's account." -}}
{{- end -}}
{{- end -}}
