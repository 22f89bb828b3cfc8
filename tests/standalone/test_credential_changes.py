"""Credentials of a running gateway: rotated, renamed, taken back."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from controller.standalone.envoy import EnvoyRefused
from tests.support.gateway import Document, RunningGateway, backend, route, rule, running_gateway, translation_of
from tests.support.upstreams import Upstream, json_reply, running_upstream
from tests.support.waiting import until

pytestmark = pytest.mark.envoy

KEY = {"apiKey": {"secretRef": {"name": "keys"}}}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    done = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": []}
    with running_upstream(json_reply(done)) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with running_gateway([]) as gateway:
        yield gateway


def objects(upstream: Upstream, key: str | None, auth: Mapping[str, Any] = KEY) -> list[Document]:
    own = [route(rule("m", "up"), rule("other", "other")), backend("up", upstream.port, auth=auth)]
    data = {"other": "other"} | ({} if key is None else {"apiKey": key})
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": data}
    other = {"apiKey": {"secretRef": {"name": "keys", "key": "other"}}}
    return [*own, backend("other", upstream.port, auth=other), secret]


def ask(gateway: RunningGateway, model: str = "m") -> httpx2.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    return httpx2.post(f"{gateway.base_url}/v1/chat/completions", json=body)


def shown(upstream: Upstream, header: str = "authorization") -> str | None:
    return upstream.received[-1].header(header)


def files(gateway: RunningGateway) -> set[bytes]:
    """The contents that are there; one may go between two looks."""
    found = set()
    for path in gateway.open.gateway.workspace.credentials.iterdir():
        with suppress(FileNotFoundError):
            found.add(path.read_bytes())
    return found


def test_a_rotated_key_is_used_without_a_failed_request(gateway: RunningGateway, upstream: Upstream) -> None:
    """Every request has the old key or the new one; nothing but a file has changed."""
    gateway.reload(objects(upstream, "old"))
    until(lambda: ask(gateway).is_success and shown(upstream) == "Bearer old", "the old key was not used", limit_s=2)
    revision = gateway.open.gateway.revision

    seen: list[tuple[int, str | None]] = []

    def is_new() -> bool:
        seen.append((ask(gateway).status_code, shown(upstream)))
        return seen[-1] == (200, "Bearer new")

    assert gateway.reload(objects(upstream, "new"))
    until(is_new, "the new key was not used", limit_s=2)
    assert set(seen) <= {(200, "Bearer old"), (200, "Bearer new")}
    assert gateway.open.gateway.revision == revision
    assert not gateway.reload(objects(upstream, "new"))


def test_an_auth_that_changes_is_another_file(gateway: RunningGateway, upstream: Upstream) -> None:
    """The new one is there when its configuration is; the old one goes a while after it."""
    gateway.reload(objects(upstream, "before"))
    gateway.reload(objects(upstream, "after", {"apiKey": {"secretRef": {"name": "keys"}, "header": "x-key"}}))

    assert (ask(gateway).status_code, shown(upstream, "x-key")) == (200, "after")
    assert shown(upstream) is None
    until(lambda: files(gateway) == {b"after", b"other"}, "the old file is still there")


def test_a_configuration_that_is_refused_leaves_the_keys_as_they_were(
    gateway: RunningGateway, upstream: Upstream
) -> None:
    """What Envoy does not take is taken back, files and all."""
    gateway.reload(objects(upstream, "kept"))
    until(lambda: files(gateway) == {b"kept", b"other"}, "the files of another test are still there")
    until(lambda: ask(gateway).is_success and shown(upstream) == "Bearer kept", "the key was not used", limit_s=2)
    refused = translation_of(objects(upstream, "refused"))
    bad = {"version_info": "bad", "resources": [{**refused.envoy.cds["resources"][0], "connect_timeout": "soon"}]}
    refused = replace(refused, envoy=replace(refused.envoy, cds=bad))

    with pytest.raises(EnvoyRefused):
        gateway.run(gateway.open.gateway.apply(refused))
    assert files(gateway) == {b"kept", b"other"}
    assert (ask(gateway).status_code, shown(upstream)) == (200, "Bearer kept")


def test_a_missing_key_stops_one_backend(gateway: RunningGateway, upstream: Upstream) -> None:
    """Its requests get 503 with its name, and neither the Secret's nor anybody's share of traffic; others go on."""
    gateway.reload(objects(upstream, None), faulty=True)
    until(lambda: files(gateway) == {b"other"}, "the key is still there")
    until(lambda: ask(gateway).status_code == 503, "the key is still used", limit_s=2)
    refused = ask(gateway)

    assert "default/up" in refused.text
    assert "keys" not in refused.text
    assert refused.headers["retry-after"] == "1"
    assert (ask(gateway, "other").status_code, shown(upstream)) == (200, "Bearer other")
    gateway.reload(objects(upstream, "back"))
    until(lambda: ask(gateway).status_code == 200, "the key did not come back", limit_s=2)
