"""Trailers of a client's, which HTTP/2 would carry on beside the gateway's credential."""

import json
from urllib.parse import urlsplit

from tests.support.gateway import backend, route, rule, running_gateway
from tests.support.http2_client import http2_call
from tests.support.upstreams import json_reply, running_upstream

TRAILERS = {"x-api-key": "evil", "authorization": "Bearer evil", "x-llmroute-backend": "evil", "x-other": "evil"}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"apiKey": "the-gateways"}}


def test_no_trailer_of_a_clients_reaches_an_upstream() -> None:
    """Neither over HTTP/1.1 nor over HTTP/2; the request itself goes on as without any."""
    with running_upstream() as up:
        up.answer(json_reply({"choices": []}))
        auth = {"apiKey": {"secretRef": {"name": "keys"}}}
        documents = [
            route(rule("h1", "h1"), rule("h2", "h2")),
            SECRET,
            *[backend(name, up.port, auth=auth) for name in ("h1", "h2")],
        ]
        with running_gateway(documents, http2_backends=["default/h2"]) as gateway:
            for model in ("h1", "h2"):
                body = json.dumps({"model": model, "messages": [{"role": "user", "content": "x"}]}).encode()
                headers = {"content-type": "application/json"}
                port = urlsplit(gateway.base_url).port or 0
                with http2_call(port, body, headers, "/v1/chat/completions", TRAILERS) as call:
                    call.read_all()
                assert call.status == 200
    assert [received.protocol for received in up.received] == ["HTTP/1.1", "HTTP/2"]
    assert [received.trailers for received in up.received] == [(), ()]
    assert {received.header("authorization") for received in up.received} == {"Bearer the-gateways"}
