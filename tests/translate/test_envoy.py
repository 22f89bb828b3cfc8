"""Envoy's side of the arrangement, on a real Envoy."""

import json
import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.translate import EnvoyConfig, Settings, Snapshot, bootstrap, listener, translate
from controller.translate.envoy.jwt import FILTER, extensions_response, providers_in
from extproc.config.names import BACKEND_HEADER, MODEL_HEADERS
from tests.support.api_objects import backend, route, rule
from tests.support.picking_processor import Seen, picking_processor
from tests.support.plain_upstream import plain_upstream
from tests.support.running_envoy import RunningEnvoy, running_envoy, validate
from tests.support.translate_cases import CASES, inputs
from tests.translate.test_golden import PROXIES

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("translate-envoy")]

TLS = Path(__file__).parent / "tls"

#: By which proxies in front of the gateway say who the client is.
PROXY_HEADERS = {"forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"}
PROXY_HEADERS |= {"x-forwarded-host", "x-forwarded-port"}


def _everything_static() -> dict[str, Any]:
    """One bootstrap with both proxies' listeners and the routes, clusters and token providers of every case."""
    config = bootstrap(PROXIES["sockets"])
    del config["dynamic_resources"]
    clusters, hosts = config["static_resources"]["clusters"], []
    providers: dict[str, Any] = {}
    for case in CASES:
        settings, objects = inputs(case)
        envoy = translate(Snapshot.of(objects, settings)).envoy
        text = json.dumps([envoy.cds["resources"], envoy.rds["resources"][0]["virtual_hosts"][0]])
        text = text.replace(settings.ca_certificates, str(TLS / "ca.pem"))
        cds, host = json.loads(text.replace("team-", f"{case}-team-"))
        providers |= providers_in(envoy.ecds)
        clusters += [{k: v for k, v in cluster.items() if k != "@type"} for cluster in cds]
        hosts.append({**host, "name": case, "domains": [f"{case}.example.com"]})
    config["static_resources"]["listeners"] = []
    for name, proxy in PROXIES.items():
        resource = listener(replace(proxy, access_log=None))["resources"][0]
        manager = resource["filter_chains"][0]["filters"][0]["typed_config"]
        del manager["rds"], resource["@type"]
        # Given here and not by a file: all that is validated has to be in one place.
        filters = {one["name"]: one for one in manager["http_filters"]}
        del filters[FILTER]["config_discovery"]
        filters[FILTER]["typed_config"] = extensions_response(providers)["resources"][0]["typed_config"]
        manager["route_config"] = {"name": "all", "virtual_hosts": hosts, "validate_clusters": True}
        config["static_resources"]["listeners"].append({**resource, "name": name})
    return config


def test_envoy_accepts_every_golden(tmp_path: Path) -> None:
    """The listeners, routes and clusters of all cases are a valid configuration."""
    config = _everything_static()
    wrong = json.loads(json.dumps(config).replace('"host_rewrite_literal"', '"host_rewrite_literally"'))

    checked, refused = validate(config, tmp_path), validate(wrong, tmp_path)

    # Only looked at, Envoy has no clusters to fetch key sets from, and says so.
    told = [line for line in checked.stderr.splitlines() if "fetch pubkey" not in line]
    assert (checked.returncode, told) == (0, [])
    assert refused.returncode != 0


def _envoy_config(port: int, tls_port: int, *more: dict[str, Any]) -> EnvoyConfig:
    objects = [
        route(rule("a", "up", timeouts={"request": "200ms"})),
        backend("up", endpoint={"hostname": "localhost", "port": port}),
        backend("safe", endpoint={"hostname": "localhost", "port": tls_port, "tls": {}}),
        backend("misnamed", endpoint={"hostname": "127.0.0.1", "port": tls_port, "tls": {}}),
        backend("nobody", endpoint={"hostname": "127.0.0.1", "port": 9}),
        *more,
    ]
    return translate(Snapshot.of(objects, Settings(ca_certificates=str(TLS / "ca.pem")))).envoy


@pytest.fixture(scope="module")
def ports() -> Iterator[tuple[int, int]]:
    with plain_upstream() as plain, plain_upstream(TLS) as safe:
        yield plain, safe


@pytest.fixture(scope="module")
def keys(ports: tuple[int, int]) -> dict[str, str]:
    """What the backend header must say, by what people call the route."""
    return _keys(_envoy_config(*ports))


def _keys(config: EnvoyConfig) -> dict[str, str]:
    routes = config.rds["resources"][0]["virtual_hosts"][0]["routes"]
    return {route["name"].partition("@")[0]: route["name"] for route in routes}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[Seen]]]:
    path = tmp_path_factory.mktemp("processor") / "p.sock"
    with picking_processor(path) as requests:
        yield path, requests


@pytest.fixture(scope="module")
def envoy(
    tmp_path_factory: pytest.TempPathFactory, ports: tuple[int, int], seen: tuple[Path, list[Seen]]
) -> Iterator[RunningEnvoy]:
    """An Envoy with one live worker and one that is gone."""
    folder = tmp_path_factory.mktemp("envoy")
    with running_envoy(folder, _envoy_config(*ports), f"unix://{seen[0]}", f"unix://{folder}/gone.sock") as running:
        _until(lambda: running.stat("cluster.llmroute-extproc.membership_healthy") == 1)
        yield running


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def test_the_backend_header_alone_decides(envoy: RunningEnvoy, keys: dict[str, str]) -> None:
    """A request goes to the cluster that the processor names, under the backend's own host, with its path as it was."""
    answer = envoy.post("/v1/chat/completions?api-version=1", {"x-pick": keys["team-a/up"]}, b"x" * 10)

    assert answer.status == 200
    assert answer.json()["path"] == "/v1/chat/completions?api-version=1"
    assert answer.json()["length"] == 10
    assert answer.json()["headers"]["host"].startswith("localhost:")


def test_the_clients_gateway_headers_reach_nobody(
    envoy: RunningEnvoy, seen: tuple[Path, list[Seen]], keys: dict[str, str]
) -> None:
    """What belongs to the gateway is gone before the processor looks, and what it adds is gone behind the route."""
    forged = {
        BACKEND_HEADER: "team-b/other",
        "x_llmroute_backend": "team-b/other",
        MODEL_HEADERS[0]: "forged",
        MODEL_HEADERS[1]: "forged",
        "x-envoy-retry-on": "5xx",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-forwarded-for": "10.9.8.7",
        **dict.fromkeys(PROXY_HEADERS, "10.9.8.7"),
        "x-request-id": "mine",
        "authorization": "Bearer of-the-client",
    }
    answer = envoy.post("/v1/x", {**forged, "x-pick": keys["team-a/up"]})

    upstream, told = answer.json()["headers"], seen[1][-1].headers
    kept = {"x-request-id", "authorization"}
    assert {name for name in forged if name in told} == kept | {"x-forwarded-for"} | PROXY_HEADERS
    assert {name for name in forged if name in upstream} == kept
    assert [name for name in upstream if name.startswith(("x-envoy-", "x-forwarded-", "x-llmroute-"))] == []
    assert [name for name in answer.headers if name.startswith("x-envoy-")] == []


def test_a_time_limit_is_part_of_the_key(envoy: RunningEnvoy, keys: dict[str, str]) -> None:
    """The same backend answers late under its plain key and is given up under the key with a limit."""
    slow = {"x-delay-s": "0.6"}

    assert envoy.post("/v1/x", {**slow, "x-pick": keys["team-a/up"]}).status == 200
    assert envoy.post("/v1/x", {**slow, "x-pick": keys["team-a/up;timeout=0.200s"]}).status == 504


def test_an_unknown_backend_is_left_to_the_processor(envoy: RunningEnvoy, seen: tuple[Path, list[Seen]]) -> None:
    """No route takes it, and the processor hears why, so that it can answer in the client's dialect."""
    envoy.post("/v1/x", {"x-pick": "team-a/not-there-yet"})

    assert seen[1][-1].details == "route_not_found"


def test_upstream_certificates_are_checked(envoy: RunningEnvoy, keys: dict[str, str]) -> None:
    """TLS works for the name in the certificate and fails for any other."""
    safe = envoy.post("/v1/x", {"x-pick": keys["team-a/safe"]})
    misnamed = envoy.post("/v1/x", {"x-pick": keys["team-a/misnamed"]})

    assert (safe.status, misnamed.status) == (200, 503)
    _until(lambda: any("CERTIFICATE_VERIFY_FAILED" in str(line["failure"]) for line in envoy.log()))


def test_a_dead_worker_costs_nothing(envoy: RunningEnvoy, keys: dict[str, str]) -> None:
    """With one of two workers gone every request is served."""
    statuses = {envoy.post("/v1/x", {"x-pick": keys["team-a/up"]}).status for _ in range(20)}

    assert statuses == {200}
    assert envoy.stat("cluster.llmroute-extproc.membership_total") == 2


def test_too_large_a_request_is_refused_in_dialect(envoy: RunningEnvoy) -> None:
    """A client that reads while it writes gets a JSON 413 long before it has sent 60 MiB."""
    answer = _upload(envoy.port, 60 * 1024 * 1024)

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413")
    assert b"content-type: application/json" in head
    assert json.loads(body)["error"]["code"] == "request_too_large"


def _upload(port: int, size: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(b"POST /v1/x HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size)
        sent, chunk = 0, b"x" * 65536
        while sent < size and not select.select([client], [], [], 0)[0]:
            if select.select([], [client], [], 5)[1]:
                sent += client.send(chunk)
        answer = b""
        while not answer.partition(b"\r\n\r\n")[2]:
            answer += client.recv(65536)
        return answer


def test_the_access_log_has_what_the_processor_knows(envoy: RunningEnvoy, keys: dict[str, str]) -> None:
    """One JSON line for a request: tokens as numbers, what is unknown as null, no query and no credential."""
    envoy.post("/v1/logged?key=secret-marker", {"x-pick": keys["team-a/up"], "authorization": "Bearer secret-marker"})
    _until(lambda: any(line["path"] == "/v1/logged" for line in envoy.log()))

    line = next(line for line in envoy.log() if line["path"] == "/v1/logged")
    assert (line["model"], line["input_tokens"], line["output_tokens"]) == ("gpt", 7, None)
    assert (line["status"], line["details"], line["flags"], line["attempts"]) == (200, "via_upstream", "-", 1)
    assert "secret-marker" not in json.dumps(line)


def test_new_routes_and_clusters_are_taken_over(envoy: RunningEnvoy, ports: tuple[int, int]) -> None:
    """A file that replaces another goes live at once, and nothing is refused."""
    added = backend("added", endpoint={"hostname": "127.0.0.1", "port": ports[0]})

    config = _envoy_config(*ports, added)
    envoy.swap(config)
    _until(lambda: envoy.stat("http.llmroute.rds.llmroute.update_success") >= 2)

    assert envoy.post("/v1/x", {"x-pick": _keys(config)["team-a/added"]}).status == 200
    assert envoy.stat("http.llmroute.rds.llmroute.update_rejected") == 0
    assert envoy.stat("cluster_manager.cds.update_rejected") == 0


def test_without_a_processor_the_client_still_gets_its_dialect(tmp_path: Path, ports: tuple[int, int]) -> None:
    """No worker at all: 503 as JSON in the client's error form, with a hint to come back."""
    with running_envoy(tmp_path, _envoy_config(*ports), f"unix://{tmp_path}/gone.sock") as alone:
        answer = alone.post("/v1/chat/completions", {})
        claude = alone.post("/v1/messages?beta=true", {"x-request-id": "r-1"})
        prefixed = alone.post("/anthropic/v1/messages", {})

    assert answer.status == 503
    assert (answer.headers["retry-after"], answer.headers["content-type"]) == ("1", "application/json")
    assert answer.json()["error"] == {
        "message": "The gateway's processor is not available; try again.",
        "type": "server_error",
        "param": None,
        "code": "processor_unavailable",
    }
    assert (claude.status, claude.headers["retry-after"]) == (503, "1")
    assert claude.headers["request-id"] == claude.headers["x-request-id"] == "r-1"
    assert prefixed.json() == claude.json()
    assert claude.json() == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "The gateway's processor is not available; try again."},
    }
