{{- define "hooksluice.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "hooksluice.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "hooksluice.labels" -}}
{{ include "hooksluice.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "hooksluice.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "hooksluice.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (ternary (include "hooksluice.name" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{/* The config file: the user's, with what the chart decides laid over it. */}}
{{- define "hooksluice.config" -}}
{{- $config := deepCopy .Values.config }}
{{- $ingress := dict "listen" "0.0.0.0:8080" "drain_delay" (printf "%ds" (int .Values.drainDelaySeconds)) "shutdown_timeout" (printf "%ds" (int .Values.finishSeconds)) }}
{{- if .Values.tls.secret }}
{{- $_ := set $ingress "tls" (dict "certificate" "/run/tls/tls.crt" "key" "/run/tls/tls.key") }}
{{- end }}
{{- $set := dict "ingress" $ingress "admin" (dict "listen" "0.0.0.0:9090") }}
{{- if .Values.journal.enabled }}
{{- $_ := set $set "journal" (dict "path" "/data/hooksluice.db") }}
{{- else }}
{{- $_ := set $config "journal" "off" }}{{/* it is on by default */}}
{{- range $name, $source := $config.sources }}
{{- if not (get ($source | default dict) "destination") }}
{{- fail (printf "config.sources.%s has no destination: without a journal (journal.enabled) every source needs one" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- mustMergeOverwrite $config $set | toYaml }}
{{- end }}

{{/* The pod, the same in a StatefulSet and in a Deployment. */}}
{{- define "hooksluice.pod" -}}
metadata:
  labels:
    {{- include "hooksluice.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "hooksluice.serviceAccount" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ add .Values.drainDelaySeconds .Values.finishSeconds 30 }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: { type: RuntimeDefault }
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- if .Values.topologySpreadConstraints }}
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "hooksluice.selector" . | nindent 10 }}
    {{- end }}
  containers:
    - name: hooksluice
      image: {{ include "hooksluice.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve, --config, /etc/hooksluice/hooksluice.yaml]
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: { drop: [ALL] }
      {{- if or .Values.secrets.env .Values.extraEnv }}
      env:
        {{- range .Values.secrets.env }}
        - name: {{ .name }}
          valueFrom:
            secretKeyRef: { name: {{ .secret }}, key: {{ .key }} }
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      ports:
        - { name: http, containerPort: 8080 }
        - { name: admin, containerPort: 9090 }
      # A start that reads a long journal back may take its time.
      startupProbe:
        httpGet: { path: /livez, port: admin }
        periodSeconds: 2
        failureThreshold: 150
      livenessProbe:
        httpGet: { path: /livez, port: admin }
        periodSeconds: 10
        timeoutSeconds: 3
        failureThreshold: 6
      readinessProbe:
        httpGet: { path: /readyz, port: admin }
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 2
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        # Directories, not single files: only those follow when the ConfigMap or Secret changes.
        - { name: config, mountPath: /etc/hooksluice, readOnly: true }
        {{- if .Values.journal.enabled }}
        - { name: journal, mountPath: /data }
        {{- end }}
        {{- range .Values.secrets.files }}
        - { name: secret-{{ . }}, mountPath: /run/secrets/{{ . }}, readOnly: true }
        {{- end }}
        {{- if .Values.tls.secret }}
        - { name: tls, mountPath: /run/tls, readOnly: true }
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap: { name: {{ include "hooksluice.name" . }} }
    {{- range .Values.secrets.files }}
    - name: secret-{{ . }}
      secret: { secretName: {{ . }}, defaultMode: 0440 }
    {{- end }}
    {{- with .Values.tls.secret }}
    - name: tls
      secret: { secretName: {{ . }}, defaultMode: 0440 }
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
