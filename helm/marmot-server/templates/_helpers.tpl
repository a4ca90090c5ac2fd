{{- define "marmot.name" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 44 | trimSuffix "-" }}{{ else if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 44 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 44 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* What runs: ["all"] in one process, else the enabled roles. */}}
{{- define "marmot.components" -}}
{{- $roles := list -}}
{{- range $role := list "relay" "blossom" "notify" }}{{ if (index $.Values $role).enabled }}{{ $roles = append $roles $role }}{{ end }}{{ end -}}
{{- if and (eq .Values.mode "embedded") .Values.embedded.oneProcess (eq (len $roles) 3) }}{{ $roles = list "all" }}{{ end -}}
{{- toJson $roles -}}
{{- end }}

{{/* The workload that serves a role. Context: dict root, role. */}}
{{- define "marmot.workload" -}}
{{- $components := include "marmot.components" .root | fromJsonArray -}}
{{ include "marmot.name" .root }}-{{ ternary "all" .role (has "all" $components) }}
{{- end }}

{{/* Context: dict root, component. */}}
{{- define "marmot.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "marmot.labels" -}}
{{ include "marmot.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "marmot.image" -}}
{{- with .Values.global.imageRegistry }}{{ trimSuffix "/" . }}/{{ end }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "marmot.scalable" -}}
{{- if eq .root.Values.mode "distributed" -}}true{{- end -}}
{{- end }}

{{- define "marmot.podSecurityContext" -}}
runAsNonRoot: true
seccompProfile: { type: RuntimeDefault }
{{- with .Values.podSecurityContext.runAsUser }}
runAsUser: {{ . }}
{{- end }}
{{- with .Values.podSecurityContext.runAsGroup }}
runAsGroup: {{ . }}
{{- end }}
{{- with .Values.podSecurityContext.fsGroup }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
{{- end }}

{{- define "marmot.containerSecurityContext" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: { drop: [ALL] }
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{/* Where the stores are, for the servers and the migration. Context: dict root, component. */}}
{{- define "marmot.storeEnv" -}}
{{- $values := .root.Values -}}
{{- if eq $values.mode "distributed" }}
- name: Storage__Postgres
  value: {{ printf "%s%s%s" (trimSuffix ";" $values.postgres.connection) (ternary (printf ";Passfile=/secrets/postgres/%s" $values.postgres.pgpassKey) "" (ne $values.postgres.existingSecret "")) (ternary "" ";GSS Encryption Mode=Disable" (regexMatch "(?i)gss" $values.postgres.connection)) | quote }}
{{- if and $values.redis.address (ne .component "migrate") }}
- { name: Cluster__Redis, value: {{ $values.redis.address | quote }} }
{{- if $values.redis.existingSecret }}
- { name: Cluster__RedisPasswordFile, value: /secrets/redis/{{ $values.redis.passwordKey }} }
{{- end }}
{{- end }}
{{- if eq .component "blossom" }}
- { name: Blossom__OwnerSecretFile, value: /secrets/owner/{{ $values.blossom.ownerSecret.key }} }
- { name: Blossom__Blobs, value: S3 }
{{- with $values.s3.endpoint }}
- { name: Blossom__S3__Endpoint, value: {{ . | quote }} }
{{- end }}
- { name: Blossom__S3__Bucket, value: {{ $values.s3.bucket | quote }} }
- { name: Blossom__S3__Region, value: {{ $values.s3.region | quote }} }
{{- if $values.s3.existingSecret }}
- { name: Blossom__S3__AccessKeyFile, value: /secrets/s3/{{ $values.s3.accessKeyKey }} }
- { name: Blossom__S3__SecretKeyFile, value: /secrets/s3/{{ $values.s3.secretKeyKey }} }
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Secrets a component reads: a JSON list of {name, secret}. Context: dict root, component. */}}
{{- define "marmot.secrets" -}}
{{- $values := .root.Values -}}
{{- $list := list -}}
{{- if eq $values.mode "distributed" -}}
{{- if $values.postgres.existingSecret }}{{ $list = append $list (dict "name" "postgres" "secret" $values.postgres.existingSecret) }}{{ end -}}
{{- if and $values.redis.address $values.redis.existingSecret (ne .component "migrate") }}{{ $list = append $list (dict "name" "redis" "secret" $values.redis.existingSecret) }}{{ end -}}
{{- if eq .component "blossom" }}{{ $list = append $list (dict "name" "owner" "secret" $values.blossom.ownerSecret.existingSecret) }}{{ end -}}
{{- if and $values.s3.existingSecret (eq .component "blossom") }}{{ $list = append $list (dict "name" "s3" "secret" $values.s3.existingSecret) }}{{ end -}}
{{- end -}}
{{- if and $values.push.existingSecret (has .component (list "all" "notify")) }}{{ $list = append $list (dict "name" "push" "secret" $values.push.existingSecret) }}{{ end -}}
{{- toJson $list -}}
{{- end }}

{{- define "marmot.secretMounts" -}}
{{- range (include "marmot.secrets" . | fromJsonArray) }}
- { name: secret-{{ .name }}, mountPath: /secrets/{{ .name }}, readOnly: true }
{{- end }}
{{- end }}

{{/* Mode 0440: the files belong to root, the pod's group reads them. */}}
{{- define "marmot.secretVolumes" -}}
{{- range (include "marmot.secrets" . | fromJsonArray) }}
- name: secret-{{ .name }}
  secret: { secretName: {{ .secret }}, defaultMode: 288 }
{{- end }}
{{- end }}

{{/* Push credentials and the relays to listen on. Context: dict root, component. */}}
{{- define "marmot.notifyEnv" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
{{- $own := "" -}}
{{- if eq .component "all" }}{{ if $values.notify.relays }}{{ $own = "ws://127.0.0.1:8080/" }}{{ end -}}
{{- else if $values.relay.enabled }}{{ $own = printf "ws://%s:%d/" (include "marmot.workload" (dict "root" .root "role" "relay")) (int $values.service.port) -}}
{{- end -}}
{{- $relays := $values.notify.relays -}}
{{- if $own }}{{ $relays = prepend $relays $own }}{{ end }}
{{- range $i, $relay := $relays }}
- { name: Notify__Relays__{{ $i }}, value: {{ $relay | quote }} }
{{- end }}
{{- if and (eq .component "notify") $own }}
# Inside the cluster, between two workloads of this release.
- { name: Notify__AllowPlaintextRelays, value: "true" }
{{- if $values.origin }}
{{- range $i, $relay := prepend $values.notify.relays $values.origin }}
- { name: Notify__AnnounceRelays__{{ $i }}, value: {{ $relay | quote }} }
{{- end }}
{{- end }}
{{- end }}
{{- range $i, $app := $values.push.apps }}
{{- $at := printf "Notify__Apps__%d" $i }}
- { name: {{ $at }}__Name, value: {{ $app.name | quote }} }
- { name: {{ $at }}__KeyFile, value: {{ printf "/secrets/push/%s" $app.key | quote }} }
{{- range $j, $key := $app.retiringKeys }}
- { name: {{ $at }}__RetiringKeyFiles__{{ $j }}, value: {{ printf "/secrets/push/%s" $key | quote }} }
{{- end }}
{{- with $app.apns }}
- { name: {{ $at }}__Apns__TeamId, value: {{ .teamId | quote }} }
- { name: {{ $at }}__Apns__KeyId, value: {{ .keyId | quote }} }
- { name: {{ $at }}__Apns__KeyFile, value: {{ printf "/secrets/push/%s" .key | quote }} }
- { name: {{ $at }}__Apns__Topic, value: {{ .topic | quote }} }
{{- with .environment }}
- { name: {{ $at }}__Apns__Environment, value: {{ . | quote }} }
{{- end }}
{{- with .mode }}
- { name: {{ $at }}__Apns__Mode, value: {{ . | quote }} }
{{- end }}
{{- end }}
{{- with $app.fcm }}
- { name: {{ $at }}__Fcm__ServiceAccountFile, value: {{ printf "/secrets/push/%s" .serviceAccount | quote }} }
{{- end }}
{{- end }}
{{- end }}

{{/* The pod of a workload. Context: dict root, component. */}}
{{- define "marmot.pod" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
{{- $component := .component -}}
{{- $role := ternary (dict "settings" dict "resources" $values.embedded.resources) (index $values $component | default dict) (eq $component "all") -}}
metadata:
  labels:
    {{- include "marmot.labels" . | nindent 4 }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $values.podAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "marmot.name" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
  {{- with $values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext: {{- include "marmot.podSecurityContext" $root | nindent 4 }}
  containers:
    - name: marmot
      image: {{ include "marmot.image" $root | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: [{{ $component }}]
      securityContext: {{- include "marmot.containerSecurityContext" $root | nindent 8 }}
      env:
        - { name: Public__Urls, value: "http://0.0.0.0:8080" }
        - { name: Public__DrainDelay, value: {{ printf "00:00:%02d" (int $values.drainDelay) | quote }} }
        {{- with $values.trustedProxies }}
        - { name: Public__TrustedProxies, value: {{ join ";" . | quote }} }
        {{- end }}
        - { name: Admin__Urls, value: "http://0.0.0.0:8081" }
        - { name: Storage__DataDirectory, value: /data }
        - { name: Log__Format, value: Json }
        {{- with (ternary ($values.blossom.origin | default $values.origin) $values.origin (eq $component "blossom")) }}
        - { name: Public__Origin, value: {{ . | quote }} }
        {{- end }}
        {{- if ne $component "notify" }}
        # The push server and `helm test` of this release come by the Service's name.
        - { name: Public__InnerNames, value: {{ include "marmot.workload" (dict "root" $root "role" $component) | quote }} }
        {{- end }}
        {{- include "marmot.storeEnv" . | nindent 8 }}
        {{- if has $component (list "all" "notify") }}
        {{- include "marmot.notifyEnv" . | nindent 8 }}
        {{- end }}
        {{- range $key, $value := merge (dict) ($role.settings | default dict) $values.settings }}
        - { name: {{ $key | quote }}, value: {{ $value | quote }} }
        {{- end }}
        {{- with $values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        {{- if ne $component "notify" }}
        - { name: http, containerPort: 8080, protocol: TCP }
        {{- end }}
        - { name: admin, containerPort: 8081, protocol: TCP }
      startupProbe:
        httpGet: { path: /healthz, port: admin }
        periodSeconds: 2
        failureThreshold: 60
      # Liveness asks only whether the process answers, so that no outage of a store restarts pods; readiness asks every part.
      livenessProbe:
        httpGet: { path: /healthz, port: admin }
        periodSeconds: 15
        timeoutSeconds: 5
        failureThreshold: 4
      readinessProbe:
        httpGet: { path: /readyz, port: admin }
        periodSeconds: 2
        timeoutSeconds: 3
        failureThreshold: 2
      resources: {{- toYaml $role.resources | nindent 8 }}
      volumeMounts:
        - { name: data, mountPath: /data }
        - { name: tmp, mountPath: /tmp }
        {{- include "marmot.secretMounts" . | nindent 8 }}
        {{- with $values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: { sizeLimit: 64Mi }
    {{- if eq $values.mode "distributed" }}
    - name: data
      emptyDir: { sizeLimit: {{ $values.scratchSize }} }
    {{- end }}
    {{- include "marmot.secretVolumes" . | nindent 4 }}
    {{- with $values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if $values.topologySpreadConstraints }}
  topologySpreadConstraints: {{- toYaml $values.topologySpreadConstraints | nindent 4 }}
  {{- else if eq $values.mode "distributed" }}
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "marmot.selector" (dict "root" $root "component" $component) | nindent 10 }}
    {{- end }}
  {{- end }}
{{- end }}
