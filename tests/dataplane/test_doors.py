"""A gateway all of whose rules ask who calls, through real Envoy: strangers cost it no body."""

import socket
from collections.abc import Iterator

import openai
import pytest

from tests.support.gateway import Document, RunningGateway, backend, route, rule, running_gateway
from tests.support.scripted import COMPLETION
from tests.support.sdk import sdk, user
from tests.support.upstreams import Upstream, json_reply, running_upstream

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("callers")]

ALICE, STRANGE = "alices-key-0123456789", "nobodys-key-0123456789"


def _documents(port: int) -> list[Document]:
    door = {"apiKeys": {"secretRef": {"name": "callers"}}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "callers"}, "stringData": {"alice": ALICE}}
    return [route(rule("m", "up"), name="keys", clientAuth=door), secret, backend("up", port)]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream(json_reply(COMPLETION)) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateway(upstream: Upstream) -> Iterator[RunningGateway]:
    with running_gateway(_documents(upstream.port)) as gateway:
        yield gateway


def test_a_stranger_hears_so_before_it_has_sent_a_body(gateway: RunningGateway) -> None:
    """Headers that promise 40 MB are answered at once, in the dialect."""
    host, _, port = gateway.base_url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {STRANGE}\r\n"
        raw.sendall(f"{head}content-length: 40000000\r\n\r\n{{".encode())
        answer = raw.makefile("rb").readline()

    assert answer == b"HTTP/1.1 401 Unauthorized\r\n"


@pytest.mark.parametrize("size", [100, 5_000_000])
def test_an_sdk_hears_so_whatever_it_sends(gateway: RunningGateway, upstream: Upstream, size: int) -> None:
    """It raises ``AuthenticationError``, no broken connection; and a caller is served as before."""
    upstream.forget()
    with sdk(gateway.base_url, STRANGE) as client, pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(model="m", messages=user("x" * size))
    assert upstream.received == []

    with sdk(gateway.base_url, ALICE) as client:
        assert client.chat.completions.create(model="m", messages=user("x" * size)).choices


def test_a_model_that_does_not_exist_looks_like_one_that_does(gateway: RunningGateway) -> None:
    """To strangers; a caller is told."""
    for key, status in ((STRANGE, 401), (ALICE, 404)):
        with sdk(gateway.base_url, key) as client, pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model="nothing", messages=user("hi"))
        assert caught.value.status_code == status
