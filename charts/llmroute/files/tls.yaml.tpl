{{- /* Generated from controller/translate/envoy by `make chart`; edits here are lost. */ -}}
version_info: 0b41a06514f8
resources:
- '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: llmroute-tls
  tls_certificate:
    certificate_chain:
      filename: /etc/envoy/tls/tls.crt
    private_key:
      filename: /etc/envoy/tls/tls.key
    watched_directory:
      path: /etc/envoy/tls
