{{/* Extproc's container, in pods of its own or, with `sidecar`, in Envoy's. */}}
{{- define "llmroute.extproc.container" -}}
{{- $sidecar := .sidecar -}}
{{- with .root -}}
{{- $own := .Values.extproc -}}
name: extproc
image: {{ include "llmroute.image" (dict "root" . "component" "extproc") | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
command: [python, -m, extproc]
args:
  - --config=/etc/llmroute/config/config.yaml
  - --credentials=/etc/llmroute/credentials
  {{- if $sidecar }}
  - --listen=unix://{{ include "llmroute.extproc.socket" . }}
  {{- else }}
  - --listen={{ include "llmroute.address" (dict "root" . "port" 1063) }}
  {{- end }}
  - --admin={{ include "llmroute.address" (dict "root" . "port" 1060) }}
  - --workers={{ $own.workers }}
  - --log-level={{ .Values.logLevel }}
  - --log-format={{ .Values.logFormat }}
  {{- if $sidecar }}
  # Envoy is gone before this container is told to leave.
  - --shutdown-grace=0
  {{- else }}
  - --shutdown-grace={{ $own.shutdownGraceSeconds }}
  {{- end }}
  - --drain-timeout={{ $own.drainTimeoutSeconds }}
{{- $env := list }}
{{- if $own.identity.aws.enabled }}
{{- $env = append $env (dict "name" "AWS_WEB_IDENTITY_TOKEN_FILE" "value" "/var/run/secrets/llmroute/aws/token") }}
{{- end }}
{{- if $own.identity.gcp.enabled }}
{{- $env = append $env (dict "name" "LLMROUTE_GCP_TOKEN_FILE" "value" "/var/run/secrets/llmroute/gcp/token") }}
{{- end }}
{{- if $own.identity.azure.enabled }}
{{- $env = append $env (dict "name" "AZURE_FEDERATED_TOKEN_FILE" "value" "/var/run/secrets/llmroute/azure/token") }}
{{- end }}
{{- with concat $env $own.extraEnv }}
env: {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - {name: extproc-admin, containerPort: 1060}
  {{- if not $sidecar }}
  {{- range $worker := until (int $own.workers) }}
  - {name: worker-{{ $worker }}, containerPort: {{ add 1063 $worker }}}
  {{- end }}
  {{- end }}
livenessProbe:
  httpGet: {path: /healthz, port: extproc-admin}
  initialDelaySeconds: 10
  periodSeconds: 10
  timeoutSeconds: 5
readinessProbe:
  httpGet: {path: /readyz, port: extproc-admin}
  periodSeconds: 5
  timeoutSeconds: 5
{{- if $sidecar }}
lifecycle:
  preStop:
    httpGet: {path: /drained, port: 9903}
{{- else if $own.discoverySeconds }}
# Its successor is in the DNS, but not yet known to every Envoy.
lifecycle:
  preStop:
    exec: {command: [python, -c, "import time; time.sleep({{ $own.discoverySeconds }})"]}
{{- end }}
resources: {{- toYaml $own.resources | nindent 2 }}
{{ include "llmroute.container.security" . }}
volumeMounts:
  - {name: extproc-config, mountPath: /etc/llmroute/config, readOnly: true}
  - {name: credentials, mountPath: /etc/llmroute/credentials, readOnly: true}
  - {name: extproc-tmp, mountPath: /tmp}
  {{- if $sidecar }}
  - {name: sockets, mountPath: /run/llmroute}
  {{- end }}
  {{- range $cloud := list "aws" "gcp" "azure" }}
  {{- if (index $own.identity $cloud).enabled }}
  - {name: {{ $cloud }}-identity, mountPath: /var/run/secrets/llmroute/{{ $cloud }}, readOnly: true}
  {{- end }}
  {{- end }}
  {{- with $own.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* Its volumes. What the operator makes is optional: the pod starts without it, and is not ready until it is there. */}}
{{- define "llmroute.extproc.volumes" -}}
{{- $own := .Values.extproc -}}
- name: extproc-config
  configMap: {name: {{ include "llmroute.fullname" . }}-extproc, optional: true}
- name: credentials
  secret: {secretName: {{ include "llmroute.fullname" . }}-credentials, optional: true, defaultMode: 0440}
# Counts of requests, which the workers share: memory, so that no disk slows them down.
- name: extproc-tmp
  emptyDir: {medium: Memory, sizeLimit: 64Mi}
{{- range $cloud := list "aws" "gcp" "azure" }}
{{- with index $own.identity $cloud }}
{{- if .enabled }}
- name: {{ $cloud }}-identity
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          path: token
          audience: {{ required (printf "extproc.identity.%s.audience: who is the token for?" $cloud) .audience | quote }}
          expirationSeconds: 3600
{{- end }}
{{- end }}
{{- end }}
{{- with $own.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
