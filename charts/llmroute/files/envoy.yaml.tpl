{{- /* Generated from controller/translate/envoy by `make chart`; edits here are lost. */ -}}
node:
  id: llmroute
  cluster: llmroute
admin:
  address:
    socket_address:
      address: 127.0.0.1
      port_value: 9901
dynamic_resources:
  cds_config:
    resource_api_version: V3
    path_config_source:
      path: /etc/envoy/config/cds.yaml
      watched_directory:
        path: /etc/envoy/config
bootstrap_extensions:
- name: envoy.bootstrap.internal_listener
  typed_config:
    '@type': type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener
overload_manager:
  resource_monitors:
  - name: envoy.resource_monitors.global_downstream_max_connections
    typed_config:
      '@type': type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig
      max_active_downstream_connections: {{ int $.Values.envoy.maxConnections }}
  {{- if include "llmroute.envoy.heap" . }}
  - name: envoy.resource_monitors.fixed_heap
    typed_config:
      '@type': type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig
      max_heap_size_bytes: {{ include "llmroute.envoy.heap" $ }}
  refresh_interval: 0.100s
  actions:
  - name: envoy.overload_actions.shrink_heap
    triggers:
    - name: envoy.resource_monitors.fixed_heap
      threshold:
        value: 0.75
  - name: envoy.overload_actions.stop_accepting_requests
    triggers:
    - name: envoy.resource_monitors.fixed_heap
      threshold:
        value: 0.85
  - name: envoy.overload_actions.reset_high_memory_stream
    triggers:
    - name: envoy.resource_monitors.fixed_heap
      scaled:
        scaling_threshold: 0.9
        saturation_threshold: 1.0
  buffer_factory_config:
    minimum_account_to_track_power_of_two: 20
  {{- end }}
static_resources:
  clusters:
  {{- if eq .Values.extproc.placement "Sidecar" }}
  - name: llmroute-extproc
    type: STATIC
    connect_timeout: 1s
    lb_policy: LEAST_REQUEST
    common_lb_config:
      healthy_panic_threshold:
        value: 0
      update_merge_window: 0s
    per_connection_buffer_limit_bytes: 52428800
    circuit_breakers:
      thresholds:
      - priority: DEFAULT
        max_connections: 100000
        max_pending_requests: 100000
        max_requests: 100000
        max_retries: 100000
    health_checks:
    - timeout: 0.5s
      interval: 1s
      no_traffic_interval: 1s
      unhealthy_interval: 0.1s
      unhealthy_edge_interval: 0.1s
      unhealthy_threshold: 2
      healthy_threshold: 1
      grpc_health_check: {}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config:
          http2_protocol_options:
            initial_stream_window_size: 52428800
            initial_connection_window_size: 67108864
    load_assignment:
      cluster_name: llmroute-extproc
      endpoints:
      - lb_endpoints: [{{ range $worker := until (int .Values.extproc.workers) }}{{ if $worker }}, {{ end }}{"endpoint": {"address": {"pipe": {"path": {{ printf "%s.%d" (include "llmroute.extproc.socket" $) $worker | quote }}}}}}{{ end }}]
  {{- else }}
  - name: llmroute-extproc
    cluster_type:
      name: envoy.clusters.dns
      typed_config:
        '@type': type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster
        respect_dns_ttl: false
        dns_refresh_rate: 1s
        dns_jitter: 0.250s
        dns_lookup_family: V4_PREFERRED
    connect_timeout: 1s
    lb_policy: LEAST_REQUEST
    common_lb_config:
      healthy_panic_threshold:
        value: 0
      update_merge_window: 0s
    per_connection_buffer_limit_bytes: 52428800
    circuit_breakers:
      thresholds:
      - priority: DEFAULT
        max_connections: 100000
        max_pending_requests: 100000
        max_requests: 100000
        max_retries: 100000
    health_checks:
    - timeout: 0.5s
      interval: 1s
      no_traffic_interval: 1s
      unhealthy_interval: 0.1s
      unhealthy_edge_interval: 0.1s
      unhealthy_threshold: 2
      healthy_threshold: 1
      grpc_health_check: {}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config:
          http2_protocol_options:
            initial_stream_window_size: 52428800
            initial_connection_window_size: 67108864
    load_assignment:
      cluster_name: llmroute-extproc
      endpoints:
      - lb_endpoints: [{{ range $worker := until (int .Values.extproc.workers) }}{{ if $worker }}, {{ end }}{"endpoint": {"address": {"socket_address": {"address": {{ include "llmroute.extproc.host" $ | quote }}, "port_value": {{ add 1063 $worker }}}}}}{{ end }}]
  {{- end }}
  - name: llmroute-admin
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: llmroute-admin
      endpoints:
      - lb_endpoints:
        - endpoint:
            address:
              socket_address:
                address: 127.0.0.1
                port_value: 9901
  listeners:
  {{- range $tls := list false true }}{{- if ternary $.Values.envoy.tls.enabled $.Values.envoy.http.enabled $tls }}
  - name: {{ ternary "llmroute-tls" "llmroute" $tls }}
    address:
      socket_address:
        address: {{ $.Values.listenAddress | quote }}
        port_value: {{ ternary 8443 8080 $tls }}
        ipv4_compat: {{ eq $.Values.listenAddress "::" }}
    per_connection_buffer_limit_bytes: 52428800
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: llmroute
          rds:
            route_config_name: llmroute
            config_source:
              resource_api_version: V3
              path_config_source:
                path: /etc/envoy/config/rds.yaml
                watched_directory:
                  path: /etc/envoy/config
          http_filters:
          - name: llmroute-jwt
            config_discovery:
              config_source:
                resource_api_version: V3
                path_config_source:
                  path: /etc/envoy/config/ecds.yaml
                  watched_directory:
                    path: /etc/envoy/config
              type_urls:
              - type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              default_config:
                '@type': type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              apply_default_config_without_warming: true
          - name: envoy.filters.http.ext_proc
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor
              stat_prefix: llmroute
              grpc_service:
                envoy_grpc:
                  cluster_name: llmroute-extproc
                  max_receive_message_length: 67108864
                retry_policy:
                  num_retries: 3
                  retry_on: connect-failure,refused-stream,unavailable,cancelled,reset
                  retry_back_off:
                    base_interval: 0.010s
                    max_interval: 0.100s
                  retry_host_predicate:
                  - name: envoy.retry_host_predicates.previous_hosts
                    typed_config:
                      '@type': type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate
                  host_selection_retry_max_attempts: 5
              failure_mode_allow: false
              status_on_error:
                code: ServiceUnavailable
              message_timeout: 10s
              processing_mode:
                request_header_mode: SEND
                request_body_mode: BUFFERED
                request_trailer_mode: SKIP
                response_header_mode: SEND
                response_body_mode: NONE
                response_trailer_mode: SKIP
              allow_mode_override: true
              mutation_rules:
                allow_all_routing: false
                allow_envoy: false
                disallow_system: false
                disallow_all: false
                disallow_is_error: false
              response_attributes:
              - response.code_details
              - response.flags
              - request.path
              - xds.route_name
              metadata_options:
                receiving_namespaces:
                  untyped:
                  - io.envoy.ai_gateway
                forwarding_namespaces:
                  untyped:
                  - envoy.filters.http.jwt_authn
          - name: envoy.filters.http.header_mutation
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
              mutations:
                request_trailers_mutations:
                - remove_on_match:
                    key_matcher:
                      safe_regex:
                        regex: .+
          - name: envoy.filters.http.router
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              suppress_envoy_headers: true
          access_log:
          - name: envoy.access_loggers.stdout
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
              log_format:
                json_format:
                  time: '%START_TIME%'
                  request_id: '%REQ(X-REQUEST-ID)%'
                  method: '%REQ(:METHOD)%'
                  path: '%PATH(NQ:PATH)%'
                  protocol: '%PROTOCOL%'
                  status: '%RESPONSE_CODE%'
                  details: '%RESPONSE_CODE_DETAILS%'
                  flags: '%RESPONSE_FLAGS%'
                  failure: '%UPSTREAM_TRANSPORT_FAILURE_REASON%'
                  attempts: '%UPSTREAM_REQUEST_ATTEMPT_COUNT%'
                  upstream: '%UPSTREAM_HOST%'
                  client: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%'
                  received_bytes: '%BYTES_RECEIVED%'
                  sent_bytes: '%BYTES_SENT%'
                  duration_ms: '%DURATION%'
                  first_byte_ms: '%RESPONSE_DURATION%'
                  input_tokens: '%DYNAMIC_METADATA(io.envoy.ai_gateway:input_tokens)%'
                  output_tokens: '%DYNAMIC_METADATA(io.envoy.ai_gateway:output_tokens)%'
                  total_tokens: '%DYNAMIC_METADATA(io.envoy.ai_gateway:total_tokens)%'
                  cached_input_tokens: '%DYNAMIC_METADATA(io.envoy.ai_gateway:cached_input_tokens)%'
                  reasoning_tokens: '%DYNAMIC_METADATA(io.envoy.ai_gateway:reasoning_tokens)%'
                  model: '%DYNAMIC_METADATA(io.envoy.ai_gateway:model)%'
                  backend: '%DYNAMIC_METADATA(io.envoy.ai_gateway:backend)%'
                  route: '%DYNAMIC_METADATA(io.envoy.ai_gateway:route)%'
                  client_dialect: '%DYNAMIC_METADATA(io.envoy.ai_gateway:client_dialect)%'
                  caller: '%DYNAMIC_METADATA(io.envoy.ai_gateway:caller)%'
          local_reply_config:
            mappers:
            - filter:
                extension_filter:
                  name: envoy.access_loggers.extension_filters.cel
                  typed_config:
                    '@type': type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter
                    expression: 'response.code_details.startsWith(''ext_proc_error'') && ("io.envoy.ai_gateway" in metadata.filter_metadata && ''client_dialect'' in metadata.filter_metadata["io.envoy.ai_gateway"] ? metadata.filter_metadata["io.envoy.ai_gateway"][''client_dialect''] == "anthropic" : request.path.startsWith("{{ $.Values.pathPrefix }}/v1/messages") || request.path.startsWith("{{ $.Values.pathPrefix }}/anthropic/"))'
              body_format_override:
                json_format:
                  type: error
                  error:
                    type: overloaded_error
                    message: The gateway's processor is not available; try again.
                content_type: application/json
              status_code: 503
              headers_to_add:
              - header:
                  key: x-request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
              - header:
                  key: request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
              - header:
                  key: retry-after
                  value: '1'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
            - filter:
                extension_filter:
                  name: envoy.access_loggers.extension_filters.cel
                  typed_config:
                    '@type': type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter
                    expression: response.code_details.startsWith('ext_proc_error')
              body_format_override:
                json_format:
                  error:
                    message: The gateway's processor is not available; try again.
                    type: server_error
                    param: null
                    code: processor_unavailable
                content_type: application/json
              status_code: 503
              headers_to_add:
              - header:
                  key: x-request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
              - header:
                  key: request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
              - header:
                  key: retry-after
                  value: '1'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
            - filter:
                extension_filter:
                  name: envoy.access_loggers.extension_filters.cel
                  typed_config:
                    '@type': type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter
                    expression: 'response.code_details == ''request_payload_too_large'' && ("io.envoy.ai_gateway" in metadata.filter_metadata && ''client_dialect'' in metadata.filter_metadata["io.envoy.ai_gateway"] ? metadata.filter_metadata["io.envoy.ai_gateway"][''client_dialect''] == "anthropic" : request.path.startsWith("{{ $.Values.pathPrefix }}/v1/messages") || request.path.startsWith("{{ $.Values.pathPrefix }}/anthropic/"))'
              body_format_override:
                json_format:
                  type: error
                  error:
                    type: request_too_large
                    message: The request is larger than 50 MiB, the most that this gateway takes.
                content_type: application/json
              status_code: 413
              headers_to_add:
              - header:
                  key: x-request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
              - header:
                  key: request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
            - filter:
                extension_filter:
                  name: envoy.access_loggers.extension_filters.cel
                  typed_config:
                    '@type': type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter
                    expression: response.code_details == 'request_payload_too_large'
              body_format_override:
                json_format:
                  error:
                    message: The request is larger than 50 MiB, the most that this gateway takes.
                    type: invalid_request_error
                    param: null
                    code: request_too_large
                content_type: application/json
              status_code: 413
              headers_to_add:
              - header:
                  key: x-request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
              - header:
                  key: request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
            - filter:
                extension_filter:
                  name: envoy.access_loggers.extension_filters.cel
                  typed_config:
                    '@type': type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter
                    expression: 'response.code_details.startsWith(''response_payload_too_large'') && ("io.envoy.ai_gateway" in metadata.filter_metadata && ''client_dialect'' in metadata.filter_metadata["io.envoy.ai_gateway"] ? metadata.filter_metadata["io.envoy.ai_gateway"][''client_dialect''] == "anthropic" : request.path.startsWith("{{ $.Values.pathPrefix }}/v1/messages") || request.path.startsWith("{{ $.Values.pathPrefix }}/anthropic/"))'
              body_format_override:
                json_format:
                  type: error
                  error:
                    type: api_error
                    message: The backend's response is larger than 50 MiB, the most that this gateway passes on.
                content_type: application/json
              status_code: 502
              headers_to_add:
              - header:
                  key: x-request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
              - header:
                  key: request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
            - filter:
                extension_filter:
                  name: envoy.access_loggers.extension_filters.cel
                  typed_config:
                    '@type': type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter
                    expression: response.code_details.startsWith('response_payload_too_large')
              body_format_override:
                json_format:
                  error:
                    message: The backend's response is larger than 50 MiB, the most that this gateway passes on.
                    type: server_error
                    param: null
                    code: response_too_large
                content_type: application/json
              status_code: 502
              headers_to_add:
              - header:
                  key: x-request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
              - header:
                  key: request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
            - filter:
                extension_filter:
                  name: envoy.access_loggers.extension_filters.cel
                  typed_config:
                    '@type': type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter
                    expression: 'response.code_details.startsWith(''upstream_reset_after_response_started'') && ("io.envoy.ai_gateway" in metadata.filter_metadata && ''client_dialect'' in metadata.filter_metadata["io.envoy.ai_gateway"] ? metadata.filter_metadata["io.envoy.ai_gateway"][''client_dialect''] == "anthropic" : request.path.startsWith("{{ $.Values.pathPrefix }}/v1/messages") || request.path.startsWith("{{ $.Values.pathPrefix }}/anthropic/"))'
              body_format_override:
                json_format:
                  type: error
                  error:
                    type: api_error
                    message: The backend broke off its answer before anything of it could be passed on.
                content_type: application/json
              status_code: 502
              headers_to_add:
              - header:
                  key: x-request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
              - header:
                  key: request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
            - filter:
                extension_filter:
                  name: envoy.access_loggers.extension_filters.cel
                  typed_config:
                    '@type': type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter
                    expression: response.code_details.startsWith('upstream_reset_after_response_started')
              body_format_override:
                json_format:
                  error:
                    message: The backend broke off its answer before anything of it could be passed on.
                    type: server_error
                    param: null
                    code: upstream_reset
                content_type: application/json
              status_code: 502
              headers_to_add:
              - header:
                  key: x-request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
              - header:
                  key: request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
            - filter:
                extension_filter:
                  name: envoy.access_loggers.extension_filters.cel
                  typed_config:
                    '@type': type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter
                    expression: 'response.code_details in [''request_overall_timeout'', ''request_header_timeout''] && ("io.envoy.ai_gateway" in metadata.filter_metadata && ''client_dialect'' in metadata.filter_metadata["io.envoy.ai_gateway"] ? metadata.filter_metadata["io.envoy.ai_gateway"][''client_dialect''] == "anthropic" : request.path.startsWith("{{ $.Values.pathPrefix }}/v1/messages") || request.path.startsWith("{{ $.Values.pathPrefix }}/anthropic/"))'
              body_format_override:
                json_format:
                  type: error
                  error:
                    type: timeout_error
                    message: The request did not arrive in time.
                content_type: application/json
              status_code: 408
              headers_to_add:
              - header:
                  key: x-request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
              - header:
                  key: request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
            - filter:
                extension_filter:
                  name: envoy.access_loggers.extension_filters.cel
                  typed_config:
                    '@type': type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter
                    expression: response.code_details in ['request_overall_timeout', 'request_header_timeout']
              body_format_override:
                json_format:
                  error:
                    message: The request did not arrive in time.
                    type: invalid_request_error
                    param: null
                    code: request_timeout
                content_type: application/json
              status_code: 408
              headers_to_add:
              - header:
                  key: x-request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
              - header:
                  key: request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
            - filter:
                extension_filter:
                  name: envoy.access_loggers.extension_filters.cel
                  typed_config:
                    '@type': type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter
                    expression: 'response.code_details == ''response_timeout'' && !(''content-type'' in response.headers) && ("io.envoy.ai_gateway" in metadata.filter_metadata && ''client_dialect'' in metadata.filter_metadata["io.envoy.ai_gateway"] ? metadata.filter_metadata["io.envoy.ai_gateway"][''client_dialect''] == "anthropic" : request.path.startsWith("{{ $.Values.pathPrefix }}/v1/messages") || request.path.startsWith("{{ $.Values.pathPrefix }}/anthropic/"))'
              body_format_override:
                json_format:
                  type: error
                  error:
                    type: timeout_error
                    message: The backend did not finish its answer in the time that the rule allows.
                content_type: application/json
              status_code: 504
              headers_to_add:
              - header:
                  key: x-request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
              - header:
                  key: request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
            - filter:
                extension_filter:
                  name: envoy.access_loggers.extension_filters.cel
                  typed_config:
                    '@type': type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter
                    expression: response.code_details == 'response_timeout' && !('content-type' in response.headers)
              body_format_override:
                json_format:
                  error:
                    message: The backend did not finish its answer in the time that the rule allows.
                    type: server_error
                    param: null
                    code: timeout
                content_type: application/json
              status_code: 504
              headers_to_add:
              - header:
                  key: x-request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
              - header:
                  key: request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
            - filter:
                extension_filter:
                  name: envoy.access_loggers.extension_filters.cel
                  typed_config:
                    '@type': type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter
                    expression: 'response.code < 500 && !(''content-type'' in response.headers) && ("io.envoy.ai_gateway" in metadata.filter_metadata && ''client_dialect'' in metadata.filter_metadata["io.envoy.ai_gateway"] ? metadata.filter_metadata["io.envoy.ai_gateway"][''client_dialect''] == "anthropic" : request.path.startsWith("{{ $.Values.pathPrefix }}/v1/messages") || request.path.startsWith("{{ $.Values.pathPrefix }}/anthropic/"))'
              body_format_override:
                json_format:
                  type: error
                  error:
                    type: invalid_request_error
                    message: The gateway cannot take this request (%RESPONSE_CODE_DETAILS%).
                content_type: application/json
              headers_to_add:
              - header:
                  key: x-request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
              - header:
                  key: request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
            - filter:
                extension_filter:
                  name: envoy.access_loggers.extension_filters.cel
                  typed_config:
                    '@type': type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter
                    expression: response.code < 500 && !('content-type' in response.headers)
              body_format_override:
                json_format:
                  error:
                    message: The gateway cannot take this request (%RESPONSE_CODE_DETAILS%).
                    type: invalid_request_error
                    param: null
                    code: request_refused
                content_type: application/json
              headers_to_add:
              - header:
                  key: x-request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
              - header:
                  key: request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
            - filter:
                extension_filter:
                  name: envoy.access_loggers.extension_filters.cel
                  typed_config:
                    '@type': type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter
                    expression: '!(''content-type'' in response.headers) && ("io.envoy.ai_gateway" in metadata.filter_metadata && ''client_dialect'' in metadata.filter_metadata["io.envoy.ai_gateway"] ? metadata.filter_metadata["io.envoy.ai_gateway"][''client_dialect''] == "anthropic" : request.path.startsWith("{{ $.Values.pathPrefix }}/v1/messages") || request.path.startsWith("{{ $.Values.pathPrefix }}/anthropic/"))'
              body_format_override:
                json_format:
                  type: error
                  error:
                    type: api_error
                    message: The gateway cannot answer this request (%RESPONSE_CODE_DETAILS%).
                content_type: application/json
              headers_to_add:
              - header:
                  key: x-request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
              - header:
                  key: request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
            - filter:
                extension_filter:
                  name: envoy.access_loggers.extension_filters.cel
                  typed_config:
                    '@type': type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter
                    expression: '!(''content-type'' in response.headers)'
              body_format_override:
                json_format:
                  error:
                    message: The gateway cannot answer this request (%RESPONSE_CODE_DETAILS%).
                    type: server_error
                    param: null
                    code: proxy_error
                content_type: application/json
              headers_to_add:
              - header:
                  key: x-request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
              - header:
                  key: request-id
                  value: '%REQ(X-REQUEST-ID)%'
                append_action: OVERWRITE_IF_EXISTS_OR_ADD
          early_header_mutation_extensions:
          - name: envoy.http.early_header_mutation.header_mutation
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation
              mutations:
              - remove: x-llmroute-backend
              - remove: x-ai-eg-model
              - remove: x-envoy-ai-gateway-llm-model
              - remove_on_match:
                  key_matcher:
                    prefix: x-envoy-
          use_remote_address: true
          skip_xff_append: true
          preserve_external_request_id: true
          normalize_path: true
          merge_slashes: true
          scheme_header_transformation:
            match_upstream: true
          server_header_transformation: PASS_THROUGH
          http2_protocol_options:
            initial_stream_window_size: 52428800
            initial_connection_window_size: 67108864
          common_http_protocol_options:
            idle_timeout: 600s
            headers_with_underscores_action: DROP_HEADER
          request_headers_timeout: 10s
          request_timeout: 300s
          stream_idle_timeout: 900s
      transport_socket: {{ if $tls }}{"name": "envoy.transport_sockets.tls", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"], "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"}, "tls_certificate_sds_secret_configs": [{"name": "llmroute-tls", "sds_config": {"resource_api_version": "V3", "path_config_source": {"path": "/etc/envoy/bootstrap/tls.yaml", "watched_directory": {"path": "/etc/envoy/bootstrap"}}}}]}}}{{ else }}null{{ end }}
  {{- end }}{{- end }}
  - name: llmroute-egress
    internal_listener: {}
    filter_chains:
    - filters:
      - name: envoy.filters.network.set_filter_state
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config
          on_new_connection:
          - object_key: envoy.tcp_proxy.cluster
            format_string:
              text_format_source:
                inline_string: '%DYNAMIC_METADATA(llmroute.proxy:cluster)%'
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: llmroute-egress
          cluster: llmroute-egress
          idle_timeout: 3600s
          tunneling_config:
            hostname: '%DYNAMIC_METADATA(llmroute.proxy:target)%'
  - name: ops
    address:
      socket_address:
        address: {{ $.Values.listenAddress | quote }}
        port_value: 9902
        ipv4_compat: {{ eq $.Values.listenAddress "::" }}
    bypass_overload_manager: true
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ops
          route_config:
            name: ops
            virtual_hosts:
            - name: ops
              domains:
              - '*'
              routes:
              - match:
                  path: /ready
                  headers:
                  - name: :method
                    string_match:
                      exact: GET
                route:
                  cluster: llmroute-admin
              - match:
                  path: /stats/prometheus
                  headers:
                  - name: :method
                    string_match:
                      exact: GET
                route:
                  cluster: llmroute-admin
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
