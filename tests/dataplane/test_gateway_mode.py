"""The data path of Envoy Gateway mode, on an Envoy that is configured as Envoy Gateway would from our objects."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import openai
import pytest

from controller.translate import Settings, Snapshot, Translation, translate
from controller.translate.settings import BUFFER_BYTES, GatewaySettings
from extproc.config.loader import dump
from tests.support.envoy_gateway import LISTENER_BUFFER, running_gateway_api
from tests.support.gateway import Document, backend, route, rule
from tests.support.plane import CHAT, chat
from tests.support.running_envoy import RunningEnvoy
from tests.support.scripted import BEDROCK_MODEL, COMPLETION, CONVERSE, CONVERSE_ANSWER, chunk
from tests.support.sdk import sdk, text_of, user
from tests.support.supervised import supervised
from tests.support.upstreams import Received, Reply, Upstream, json_reply, running_upstream, sse_reply
from tests.support.waiting import until

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("gateway-mode")]

_PARENTS = [{"name": "eg"}]
_GATEWAY = GatewaySettings(controller="llmroute-system", service="llmroute-extproc", namespace="llmroute-system")


@dataclass(frozen=True, slots=True)
class Stand:
    """``up`` is behind all backends but ``other``, whose upstream is ``other``."""

    envoy: RunningEnvoy
    up: Upstream
    other: Upstream

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.envoy.port}"

    def send(self, body: bytes, *, path: str = CHAT, **headers: str) -> tuple[int, dict[str, str], Any]:
        """One request; status, headers in lower case, and the JSON of the answer."""
        connection = HTTPConnection("127.0.0.1", self.envoy.port, timeout=20)
        try:
            sent = {"content-type": "application/json"} | {name.replace("_", "-"): v for name, v in headers.items()}
            connection.request("POST", path, body, sent)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return response.status, found, json.loads(response.read() or b"null")
        finally:
            connection.close()


def documents(up: int, other: int) -> list[Document]:
    """Two routes on one Gateway, and one on a host of its own."""
    return [
        route(
            rule("plain", "up"),
            rule("converse", {"name": "rock", "modelNameOverride": BEDROCK_MODEL}),
            rule("hasty", "up", timeouts={"request": "300ms"}),
            name="first",
            parentRefs=_PARENTS,
        ),
        route(rule("second", "other"), name="second", parentRefs=_PARENTS),
        route(rule("hosted", "other"), name="hosted", parentRefs=_PARENTS, hostnames=["llm.example.com"]),
        backend("up", up),
        backend("rock", up, "AWSBedrock"),
        backend("other", other),
    ]


def translated(given: list[Document]) -> Translation:
    return translate(Snapshot.of(given, Settings(gateway=_GATEWAY)))


@contextmanager
def running_stand(*, without: str = "", buffer: int = BUFFER_BYTES) -> Iterator[Stand]:
    """``without``: a key whose rules Envoy Gateway has not got yet."""
    with ExitStack() as stack:
        up, other = (stack.enter_context(running_upstream()) for _ in range(2))
        translation = translated(documents(up.port, other.port))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llmroute-eg-")))
        processor = stack.enter_context(supervised(folder, config=dump(translation.config).decode()))
        processor.wait_ready()
        objects = [_lacking(each, without) if without else each for each in translation.gateway.documents]
        envoy = stack.enter_context(running_gateway_api(folder, objects, [f"{folder}/w.0"], buffer))
        yield Stand(envoy, up, other)


def _lacking(obj: dict[str, Any], word: str) -> dict[str, Any]:
    if obj["kind"] != "HTTPRoute":
        return obj
    rules = [each for each in obj["spec"]["rules"] if word not in json.dumps(each["matches"])]
    return {**obj, "spec": {**obj["spec"], "rules": rules}}


@pytest.fixture(scope="module")
def running() -> Iterator[Stand]:
    with running_stand() as stand:
        yield stand


@pytest.fixture
def stand(running: Stand) -> Stand:
    """With empty records; both upstreams answer with a completion that names them."""
    for upstream, name in ((running.up, "up"), (running.other, "other")):
        message = {"role": "assistant", "content": name}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        upstream.answer(json_reply({**COMPLETION, "choices": choices}))
        upstream.forget()
    return running


@pytest.fixture
def client(stand: Stand) -> Iterator[openai.OpenAI]:
    with sdk(stand.base_url, "sk-client") as client:
        yield client


def test_a_chat_reaches_the_backend_of_its_model(client: openai.OpenAI, stand: Stand) -> None:
    """Of all routes on the Gateway, whichever's catch-all was met first."""
    assert client.chat.completions.create(model="plain", messages=user("hi")).choices[0].message.content == "up"
    assert client.chat.completions.create(model="second", messages=user("hi")).choices[0].message.content == "other"
    assert (len(stand.up.received), len(stand.other.received)) == (1, 1)


def test_what_the_upstream_is_sent(client: openai.OpenAI, stand: Stand) -> None:
    """Its own host, a length, the client's key, and nothing of the gateway's headers or of who the client is."""
    client.chat.completions.create(model="plain", messages=user("hi"))
    [received] = stand.up.received
    names = {name for name, _ in received.headers}

    assert received.header("host") == "127.0.0.1"
    assert received.header("authorization") == "Bearer sk-client"
    assert received.header("content-length") == str(len(received.body))
    assert not names & {"x-llmroute-backend", "x-ai-eg-model", "x-forwarded-for", "x-envoy-ai-gateway-llm-model"}


def test_a_translated_chat(client: openai.OpenAI, stand: Stand) -> None:
    """The path of another vendor's API is below none that the catch-all knows, and is found by the key."""
    stand.up.answer(json_reply(CONVERSE_ANSWER))
    done = client.chat.completions.create(model="converse", messages=user("hi"))
    [received] = stand.up.received

    assert done.choices[0].message.content == "hello"
    assert done.usage is not None
    assert done.usage.total_tokens == 8
    assert received.path == CONVERSE
    until(lambda: any((line["usage"] or {}).get("total_tokens") == 8 for line in stand.envoy.log()), "no usage")


def test_a_stream_comes_piece_by_piece(client: openai.OpenAI, stand: Stand) -> None:
    """The first piece is there while the second is still held back."""
    pieces = [chunk("one"), chunk(" two"), chunk(finish="stop")]
    stand.up.answer(sse_reply(pieces, gated=True))
    stand.up.release()
    with client.chat.completions.create(model="plain", messages=user("hi"), stream=True) as stream:
        first = next(iter(stream))
        assert first.choices[0].delta.content == "one"
        stand.up.release(10)
        assert text_of(stream) == " two"


def test_an_unknown_model_is_told_in_dialect(client: openai.OpenAI, stand: Stand) -> None:
    """By the processor, on the catch-all, with no upstream."""
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="nothing", messages=user("hi"))

    assert caught.value.code == "model_not_found"
    assert stand.up.received == []


def test_an_upstreams_error_is_passed_on(client: openai.OpenAI, stand: Stand) -> None:
    """With its status."""
    stand.up.answer(json_reply({"error": {"message": "slow down", "type": "rate", "code": "x"}}, status=429))

    with pytest.raises(openai.RateLimitError, match="slow down"):
        client.chat.completions.create(model="plain", messages=user("hi"))


def test_the_time_limit_of_a_rule(client: openai.OpenAI, stand: Stand) -> None:
    """Is the HTTPRoute rule's, and what it ends is told in dialect."""
    stand.up.answer(Reply((b"late",), gated=True))

    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="hasty", messages=user("hi"))
    assert caught.value.status_code == 504


def test_the_models_are_listed(client: openai.OpenAI) -> None:
    """A request without a body is answered on the catch-all as well."""
    assert {each.id for each in client.models.list()} >= {"plain", "converse", "second"}


@pytest.mark.parametrize("forged", ["default/other@", "nonsense"])
def test_a_forged_backend_header_leads_nowhere_else(stand: Stand, forged: str) -> None:
    """The client's own word for the backend is overwritten, whether there is a rule for it or not."""
    _, _, keys = stand.send(chat("plain"), x_llmroute_backend=_key_of(stand, forged))

    assert keys["choices"][0]["message"]["content"] == "up"
    assert stand.other.received == []


def _key_of(stand: Stand, word: str) -> str:
    """A key that Envoy has a rule for, given how it begins; the word itself when there is none."""
    found = [
        header["value"]
        for obj in translated(documents(stand.up.port, stand.other.port)).gateway.documents
        if obj["kind"] == "HTTPRoute"
        for each in obj["spec"]["rules"]
        for header in each["matches"][0].get("headers", [])
    ]
    return next((key for key in found if key.startswith(word)), word)


def test_a_forged_header_opens_no_other_path(stand: Stand) -> None:
    """A rule for a key matches every path, and yet the processor is asked, which serves its own alone."""
    key = _key_of(stand, "default/other@")
    status, _, body = stand.send(b"{}", path="/admin", x_llmroute_backend=key)

    assert key != "default/other@"
    assert (status, body["error"]["type"]) == (404, "invalid_request_error")
    assert stand.other.received == []


def test_other_paths_of_the_host_are_not_taken(stand: Stand) -> None:
    """They are left to the other HTTPRoutes of the Gateway."""
    assert stand.send(b"{}", path="/elsewhere")[0] == 404
    assert stand.up.received == stand.other.received == []


def test_a_route_on_a_host_of_its_own(stand: Stand) -> None:
    """Serves that host, and no other one."""
    assert stand.send(chat("hosted"), host="llm.example.com")[0] == 200
    assert stand.send(chat("hosted"))[0] == 404
    # Envoy Gateway keeps hosts apart: what the processor knows for every host is not there on this one.
    status, headers, _ = stand.send(chat("plain"), host="llm.example.com")
    assert (status, headers.get("retry-after")) == (503, "1")
    assert stand.up.received == []


def test_a_big_body_within_the_listeners_buffer(stand: Stand) -> None:
    """With the ClientTrafficPolicy of the docs, 6 MB pass both ways, whatever gRPC's own limit is."""
    text = "x" * 6_000_000
    stand.up.answer_with(_echo)
    status, _, body = stand.send(chat("plain", user=text))

    assert status == 200
    assert len(body["choices"][0]["message"]["content"]) == len(text)


def _echo(request: Received) -> Reply:
    message = {"role": "assistant", "content": request.json["user"]}
    return json_reply({**COMPLETION, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


def test_a_key_that_envoy_does_not_know_yet() -> None:
    """Is a 503 in the client's dialect that says when to come back; no backend gets what was written for another."""
    with running_stand(without="default/up@", buffer=LISTENER_BUFFER) as stand:
        status, headers, body = stand.send(chat("plain"))
        assert (status, headers["retry-after"], headers["content-type"]) == (503, "1", "application/json")
        assert "default/up" in body["error"]["message"]
        status, _, body = stand.send(chat("plain", max_tokens=5), path="/anthropic/v1/messages")
        assert (status, body["type"]) == (529, "error")
        stand.other.answer(json_reply(COMPLETION))
        assert stand.send(chat("second"))[0] == 200
        assert stand.up.received == []
        assert stand.send(chat("second", user="x" * 100_000))[0] == 413
