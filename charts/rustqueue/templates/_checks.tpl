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
{{- if hasKey (default dict .Values.settings.storage) "path" -}}
{{- fail "settings.storage.path: set by the chart, which mounts the volume there; remove it from settings." -}}
{{- end -}}
{{- if and .Values.auth.serviceAccounts (hasKey (default dict .Values.settings.kubernetes) "accounts") -}}
{{- fail "settings.kubernetes.accounts: use auth.serviceAccounts instead." -}}
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
{{- if and .Values.tls.ca (not .Values.tls.existingSecret) -}}
{{- fail "tls.ca: given without tls.existingSecret, so that no node would speak TLS; set both or neither." -}}
{{- end -}}
{{- if eq (int .Values.service.httpPort) (int .Values.service.tcpPort) -}}
{{- fail (printf "service.tcpPort: %d is service.httpPort too; each needs a port of its own." (int .Values.service.tcpPort)) -}}
{{- end -}}
{{- if has (int .Values.cluster.peerPort) (list 6789 6790) -}}
{{- fail (printf "cluster.peerPort: %d is a port of the node for its clients; take another one." (int .Values.cluster.peerPort)) -}}
{{- end -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" (include "rustqueue.fullname" .)) -}}
{{- fail (printf "fullnameOverride: %s cannot be the name of a Service; set one of lower case letters, digits and '-' that begins with a letter." (include "rustqueue.fullname" .)) -}}
{{- end -}}
{{- range $where, $labels := dict "podLabels" .Values.podLabels "operator.podLabels" .Values.operator.podLabels -}}
{{- range $key := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" -}}
{{- if hasKey (default dict $labels) $key -}}
{{- fail (printf "%s: %s is how the chart finds its own pods; take another label." $where $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq (toString (get (default dict .Values.settings.raft) "fsync")) "none") (not (has "--i-accept-data-loss" .Values.extraArgs)) -}}
{{- fail "settings.raft.fsync: none is refused by every node, as a power cut may then take acknowledged jobs; leave it out." -}}
{{- end -}}
{{- range .Values.keda.scaledObjects -}}
{{- if gt (int (default 0 .min)) (int (default 10 .max)) -}}
{{- fail (printf "keda.scaledObjects: %s has a min of %d, which is more than its max of %d." .deployment (int (default 0 .min)) (int (default 10 .max))) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.serviceAccount.name (not .Values.serviceAccount.create) (eq .Values.serviceAccount.name (include "rustqueue.operator" .)) -}}
{{- fail "serviceAccount.name: nodes must not run under the operator's account." -}}
{{- end -}}
{{- end -}}
