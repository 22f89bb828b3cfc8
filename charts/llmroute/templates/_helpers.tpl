{{- define "llmroute.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 40 characters: what is added has at most 23. */}}
{{- define "llmroute.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "llmroute.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "llmroute.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Whether there is an Envoy of ours: "true" or nothing. */}}
{{- define "llmroute.bundled" -}}
{{- if eq .Values.gateway.mode "Bundled" }}true{{ end -}}
{{- end -}}

{{/* Whether extproc runs in Envoy's pods: "true" or nothing. */}}
{{- define "llmroute.sidecar" -}}
{{- if and (eq .Values.extproc.placement "Sidecar") (include "llmroute.bundled" .) }}true{{ end -}}
{{- end -}}

{{/* Whether extproc has pods of its own: "true" or nothing. */}}
{{- define "llmroute.extproc.deployed" -}}
{{- if or .Values.extproc.keepDeployment (not (include "llmroute.sidecar" .)) }}true{{ end -}}
{{- end -}}

{{- define "llmroute.selector" -}}
app.kubernetes.io/name: {{ include "llmroute.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "llmroute.selector.flag" -}}
{{- printf "app.kubernetes.io/name=%s,app.kubernetes.io/instance=%s,app.kubernetes.io/component=%s" (include "llmroute.name" .root) .root.Release.Name .component -}}
{{- end -}}

{{- define "llmroute.labels" -}}
{{ include "llmroute.selector" . }}
app.kubernetes.io/part-of: llmroute
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "llmroute.serviceAccount" -}}
{{- $own := (index .root.Values .component).serviceAccount -}}
{{- if $own.name }}{{ $own.name }}{{ else if $own.create }}{{ include "llmroute.fullname" .root }}-{{ .component }}{{ else }}default{{ end -}}
{{- end -}}

{{/* The image of the operator or of extproc. */}}
{{- define "llmroute.image" -}}
{{- $image := (index .root.Values .component).image -}}
{{- $name := $image.repository -}}
{{- with .root.Values.image.registry }}{{ $name = printf "%s/%s" (trimSuffix "/" .) $name }}{{ end -}}
{{- if $image.digest }}{{ $name }}@{{ $image.digest }}{{ else }}{{ $name }}:{{ default .root.Chart.AppVersion .root.Values.image.tag }}{{ end -}}
{{- end -}}

{{- define "llmroute.envoy.image" -}}
{{- $image := .Values.envoy.image -}}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}{{ else }}{{ $image.repository }}:{{ $image.tag }}{{ end -}}
{{- end -}}

{{/* HOST:PORT, the host as it stands before a port. */}}
{{- define "llmroute.address" -}}
{{- $host := .root.Values.listenAddress -}}
{{- if contains ":" $host }}[{{ $host }}]{{ else }}{{ $host }}{{ end }}:{{ .port -}}
{{- end -}}

{{/* With a dot in the end, so that nobody looks for it in the domains of /etc/resolv.conf first. */}}
{{- define "llmroute.extproc.host" -}}
{{ include "llmroute.fullname" . }}-extproc.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}.
{{- end -}}

{{/* Bytes of a quantity of memory; nothing for none. */}}
{{- define "llmroute.bytes" -}}
{{- $text := ternary (int64 . | toString) (toString .) (kindIs "float64" .) -}}
{{- $unit := regexReplaceAll "^[0-9.]+" $text "" -}}
{{- $units := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- if not (hasKey $units $unit) -}}
{{- fail (printf "%s: not a quantity of memory that this chart can read; say such as 2Gi or 512Mi" $text) -}}
{{- end -}}
{{- mulf (regexFind "^[0-9.]+" $text) (get $units $unit) | int64 -}}
{{- end -}}

{{/* What Envoy's heap may grow to: less than its limit, as the process is more than that. Nothing without a limit. */}}
{{- define "llmroute.envoy.heap" -}}
{{- with .Values.envoy.resources.limits -}}
{{- with .memory -}}
{{- mulf (include "llmroute.bytes" .) 0.85 | int64 -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Which Envoy Gateway sends requests to. */}}
{{- define "llmroute.extproc.service" -}}
{{ include "llmroute.fullname" . }}-extproc-workers
{{- end -}}

{{- define "llmroute.extproc.socket" -}}
/run/llmroute/extproc.sock
{{- end -}}

{{- define "llmroute.pod.security" -}}
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- end -}}

{{- define "llmroute.container.security" -}}
securityContext: {{- toYaml .Values.containerSecurityContext | nindent 2 }}
{{- end -}}

{{/* What a pod of any component has from its values. */}}
{{- define "llmroute.pod.placement" -}}
{{- $own := index .root.Values .component -}}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $own.topologySpreadConstraints }}
topologySpreadConstraints:
{{- range . }}
  - {{ toYaml . | indent 4 | trim }}
    labelSelector:
      matchLabels: {{- include "llmroute.selector" $ | nindent 8 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Labels and annotations of a pod template. */}}
{{- define "llmroute.pod.metadata" -}}
{{- $own := index .root.Values .component -}}
labels:
  {{- include "llmroute.labels" . | nindent 2 }}
  {{- with $own.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $annotations := dict -}}
{{- if .root.Values.metrics.scrapeAnnotations -}}
{{- $annotations = dict "prometheus.io/scrape" "true" "prometheus.io/port" (toString .port) "prometheus.io/path" .path -}}
{{- end -}}
{{- with .checksum }}{{ $_ := set $annotations "checksum/bootstrap" . }}{{ end -}}
{{- $annotations = merge (deepCopy $own.podAnnotations) $annotations -}}
{{- with $annotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "llmroute.rollout" -}}
strategy:
  type: RollingUpdate
  rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
{{- end -}}

{{/* Seconds that a pod of extproc gets: all of its times, and ten for itself. */}}
{{- define "llmroute.extproc.patience" -}}
{{- $own := .Values.extproc -}}
{{- add (ceil (addf $own.discoverySeconds $own.shutdownGraceSeconds $own.drainTimeoutSeconds)) 10 -}}
{{- end -}}

{{- define "llmroute.disruption" -}}
{{- $own := index .root.Values .component -}}
{{- if and $own.podDisruptionBudget.enabled (.root.Capabilities.APIVersions.Has "policy/v1") }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "llmroute.fullname" .root }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "llmroute.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ $own.podDisruptionBudget.maxUnavailable }}
  selector:
    matchLabels: {{- include "llmroute.selector" . | nindent 6 }}
{{- end }}
{{- end -}}

{{- define "llmroute.autoscaler" -}}
{{- $own := index .root.Values .component -}}
{{- if and $own.autoscaling.enabled (.root.Capabilities.APIVersions.Has "autoscaling/v2") }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "llmroute.fullname" .root }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "llmroute.labels" . | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ include "llmroute.fullname" .root }}-{{ .component }}}
  minReplicas: {{ $own.autoscaling.minReplicas }}
  maxReplicas: {{ $own.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ $own.autoscaling.targetCPUUtilizationPercentage }}}
  behavior:
    scaleDown:
      # A pod that goes takes its streams with it to the end: not at every lull.
      stabilizationWindowSeconds: 300
{{- end }}
{{- end -}}

{{/* Of every Service. */}}
{{- define "llmroute.families" -}}
{{- with .Values.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.ipFamilies }}
ipFamilies: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
The number of pods, unless an autoscaler sets it; without its kind in the cluster there is none. Helm would take away the
number of a release that gets an autoscaler, and no number is one pod: so what it has is said once more.
*/}}
{{- define "llmroute.replicas" -}}
{{- $own := index .root.Values .component -}}
{{- $name := printf "%s-%s" (include "llmroute.fullname" .root) .component -}}
{{- if not $own.autoscaling.enabled -}}
replicas: {{ $own.replicas }}
{{- else if not (.root.Capabilities.APIVersions.Has "autoscaling/v2") -}}
replicas: {{ $own.autoscaling.minReplicas }}
{{- else -}}
{{- with lookup "apps/v1" "Deployment" .root.Release.Namespace $name -}}
replicas: {{ .spec.replicas }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the operator may do with Secrets. */}}
{{- define "llmroute.rbac.secrets" -}}
{{- ternary "[get, watch]" "[get]" .Values.rbac.watchSecrets -}}
{{- end -}}
