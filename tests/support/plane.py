"""One gateway before one scripted upstream, and a client that sees each byte of the answer and where it was cut."""

import contextlib
import http.client
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.support.gateway import Document, RunningGateway, backend, route, rule, running_gateway
from tests.support.http2_client import Http2Call, http2_call
from tests.support.upstreams import Upstream, running_upstream

CHAT = "/v1/chat/completions"
_LIMIT_S = 10
#: Backend by model, all of them on the one upstream: its dialect, and whether Envoy speaks HTTP/2 to it.
_BACKENDS = {
    "plain": ("OpenAI", False),
    "plain-h2": ("OpenAI", True),
    "bedrock": ("AWSBedrock", False),
    "bedrock-h2": ("AWSBedrock", True),
}
PASSTHROUGH = ("plain", "plain-h2")
TRANSLATED = ("bedrock", "bedrock-h2")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. ``whole``: it came to the end that its framing announces. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool
    request_id: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error in it, which must be one that OpenAI's SDK reads, and must be there to its last byte."""
        assert self.headers["content-type"] == "application/json"
        self.demand_length()
        error: dict[str, Any] = self.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return error

    @property
    def events(self) -> list[Any]:
        """The data of each server-sent event, parsed; ``[DONE]`` as that string."""
        blocks = self.body.decode().split("\n\n")
        assert blocks.pop() == "", "the stream ends inside an event"
        data = [block.removeprefix("data: ") for block in blocks]
        return [text if text == "[DONE]" else json.loads(text) for text in data]

    @property
    def text(self) -> str:
        """What the streamed chunks say together."""
        choices = [choice for event in self.events if event != "[DONE]" for choice in event.get("choices", ())]
        return "".join(choice["delta"].get("content") or "" for choice in choices)

    def demand_length(self) -> None:
        """The body has a length, it is right, and nothing is chunked."""
        assert self.whole
        assert self.headers["content-length"] == str(len(self.body))
        assert "transfer-encoding" not in self.headers


class Plane:
    """A running gateway and its upstream."""

    def __init__(self, gateway: RunningGateway, upstream: Upstream, documents: Sequence[Document]) -> None:
        self.gateway = gateway
        self.upstream = upstream
        self.documents = documents
        self._place = urlsplit(gateway.base_url)

    def ask(
        self, model: str, *, headers: Mapping[str, str] | None = None, limit_s: float = _LIMIT_S, **fields: Any
    ) -> Answer:
        """A chat of one message. Raises ``TimeoutError`` when nothing comes within ``limit_s``."""
        return self.send(chat(model, **fields), headers=headers, limit_s=limit_s)

    def send(
        self,
        body: bytes | Iterable[bytes] | None,
        *,
        headers: Mapping[str, str] | None = None,
        path: str = CHAT,
        method: str = "POST",
        limit_s: float = _LIMIT_S,
    ) -> Answer:
        """Any request on a connection of its own; an iterable body goes chunked."""
        with self.opened(body, headers=headers, path=path, method=method, limit_s=limit_s) as (response, request_id):
            got, whole = rest_of(response)
            return Answer(response.status, _headers(response), got, whole, request_id)

    @contextmanager
    def opened(
        self,
        body: bytes | Iterable[bytes] | None,
        *,
        headers: Mapping[str, str] | None = None,
        path: str = CHAT,
        method: str = "POST",
        limit_s: float = _LIMIT_S,
    ) -> Iterator[tuple[http.client.HTTPResponse, str]]:
        """The response's headers have come; leaving closes the connection, whatever is still under way."""
        request_id = uuid.uuid4().hex
        sent = {"content-type": "application/json", "x-request-id": request_id, **(headers or {})}
        connection = http.client.HTTPConnection(str(self._place.hostname), self._place.port, timeout=limit_s)
        with contextlib.closing(connection):
            connection.request(method, path, body, sent)
            with connection.getresponse() as response:
                yield response, request_id

    @contextmanager
    def opened_http2(self, body: bytes, headers: Mapping[str, str] | None = None) -> Iterator[tuple[Http2Call, str]]:
        """A chat over HTTP/2, sent and not yet read; leaving breaks it off."""
        request_id = uuid.uuid4().hex
        sent = {"content-type": "application/json", "x-request-id": request_id, **(headers or {})}
        with http2_call(self._place.port or 0, body, sent, CHAT) as call:
            yield call, request_id

    def logged(self, answer: Answer | str) -> dict[str, Any]:
        """Envoy's log line of a request."""
        return self.gateway.records.access_of(answer if isinstance(answer, str) else answer.request_id)

    def usage(self, answer: Answer | str) -> dict[str, Any]:
        """The token counts in Envoy's log line that are known."""
        line = self.logged(answer)
        names = ("input_tokens", "output_tokens", "total_tokens")
        return {name: line[name] for name in names if line[name] is not None}

    def demand_clean(self) -> None:
        """The processor has met no bug of its own, Envoy had no word too many of it, and the upstream only requests."""
        tracebacks = [line for line in self.gateway.records.errors() if "Traceback" in line]
        assert not tracebacks, tracebacks[0]
        assert self.gateway.open.metrics().get("llmroute_internal_errors_total", 0) == 0
        assert self.gateway.open.spurious_answers() == 0
        assert self.upstream.malformed == []


@contextmanager
def running_plane(*more: Document, **limits: str) -> Iterator[Plane]:
    """A plane with the backends named above, one rule each, and ``more`` documents.

    ``limits``: the time that a backend's rule gives a request, by the backend's name.
    """
    with running_upstream() as upstream:
        rules = [rule(name, name, **_limit(limits.get(name))) for name in _BACKENDS]
        backends = [backend(name, upstream.port, schema) for name, (schema, _) in _BACKENDS.items()]
        documents = [route(*rules), *backends, *more]
        http2 = [f"default/{name}" for name, (_, http2) in _BACKENDS.items() if http2]
        with running_gateway(documents, http2_backends=http2) as gateway:
            yield Plane(gateway, upstream, documents)


def chat(model: str, **fields: Any) -> bytes:
    """The body of a chat of one message."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}).encode()


def read_until(response: http.client.HTTPResponse, wanted: bytes) -> bytes:
    """The body up to the piece that completes ``wanted``."""
    got = bytearray()
    while wanted not in got:
        piece = response.read1(1 << 16)
        assert piece, f"the body ended before {wanted!r}: {bytes(got)!r}"
        got += piece
    return bytes(got)


def _limit(duration: str | None) -> dict[str, Any]:
    return {} if duration is None else {"timeouts": {"request": duration}}


def rest_of(response: http.client.HTTPResponse) -> tuple[bytes, bool]:
    """What is left of the body, and whether that is all of it."""
    got = bytearray()
    try:
        while piece := response.read1(1 << 16):
            got += piece
    except (http.client.IncompleteRead, ConnectionResetError):
        return bytes(got), False
    return bytes(got), not response.length


def _headers(response: http.client.HTTPResponse) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in response.getheaders():
        key = name.lower()
        assert key not in {"content-length", "transfer-encoding", "content-type"} & set(found), f"{key} came twice"
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found
