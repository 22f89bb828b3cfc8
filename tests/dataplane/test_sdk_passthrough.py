"""A backend that speaks OpenAI, byte by byte: what it is sent, and what the official SDK makes of its answers."""

import json
from collections.abc import Iterator, Mapping
from email import message_from_bytes
from email.message import Message
from typing import Any

import httpx2
import openai
import pytest

from tests.support.scripted import COMPLETION, Scripted, chunk
from tests.support.sdk import identified, sdk, text_of, user
from tests.support.upstreams import Received, Reply, json_reply, sse_reply

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("scripted")]

#: Not text, and full of what a careless reader of forms would take for the end of a part.
AUDIO = bytes(range(256)) + b"\r\n--\r\n\r\n--boundary--\r\nname=model\r\n" + bytes(100_000)


@pytest.fixture
def client(scripted: Scripted) -> Iterator[openai.OpenAI]:
    with sdk(scripted.gateway.base_url, "sk-client") as client:
        yield client


def form_of(received: Received) -> dict[str, Message]:
    """The fields of a form by name, read by the standard library."""
    head = f"content-type: {received.header('content-type')}\r\n\r\n".encode()
    parts: Any = message_from_bytes(head + received.body).get_payload()
    return {part.get_param("name", header="content-disposition"): part for part in parts}


def content_of(part: Message) -> Any:
    return part.get_payload(decode=True)


def chat(scripted: Scripted, body: bytes, headers: Mapping[str, str] | None = None) -> httpx2.Response:
    """A chat whose body is exactly this; the SDK would write one of its own."""
    sent = {"content-type": "application/json", **(headers or {})}
    return httpx2.post(f"{scripted.gateway.base_url}/v1/chat/completions", content=body, headers=sent)


@pytest.mark.parametrize(("model", "sent"), [("plain", "plain"), ("renamed", "upstream-name")])
def test_a_transcription_is_routed_by_its_form(
    client: openai.OpenAI, scripted: Scripted, model: str, sent: str
) -> None:
    """The model is a field of the form; an override changes that field and not a byte of the file."""
    usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 5, "total_tokens": 19}
    scripted.up.answer(json_reply({"text": "hello", "usage": usage}))
    headers = identified()
    done = client.audio.transcriptions.create(
        file=("speech.wav", AUDIO, "audio/wav"), model=model, language="en", extra_headers=headers
    )
    [received] = scripted.up.received
    form = form_of(received)

    assert done.text == "hello"
    assert received.path == "/v1/audio/transcriptions"
    assert content_of(form["model"]) == sent.encode()
    assert content_of(form["language"]) == b"en"
    assert content_of(form["file"]) == AUDIO
    assert form["file"].get_filename() == "speech.wav"
    line = scripted.gateway.records.access_of(headers["x-request-id"])
    assert (line["model"], line["input_tokens"], line["total_tokens"]) == (model, 14, 19)


def test_a_transcription_as_text_passes(client: openai.OpenAI, scripted: Scripted) -> None:
    """An answer that is no JSON reaches the client as it is."""
    scripted.up.answer(Reply((b"hello, as text\n",), headers={"content-type": "text/plain; charset=utf-8"}))
    done: Any = client.audio.transcriptions.create(file=("a.wav", AUDIO), model="plain", response_format="text")

    assert done == "hello, as text\n"


def test_a_transcription_streams(client: openai.OpenAI, scripted: Scripted) -> None:
    """The typed events of a streamed transcription pass; they know no ``[DONE]``, and none is missed."""
    usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 5, "total_tokens": 19}
    events = [
        {"type": "transcript.text.delta", "delta": "hel"},
        {"type": "transcript.text.delta", "delta": "lo"},
        {"type": "transcript.text.done", "text": "hello", "usage": usage},
    ]
    scripted.up.answer(sse_reply(events, done=False))
    headers = identified()
    stream = client.audio.transcriptions.create(
        file=("a.wav", AUDIO), model="plain", stream=True, extra_headers=headers
    )

    assert [event.type for event in stream] == ["transcript.text.delta"] * 2 + ["transcript.text.done"]
    assert scripted.gateway.records.access_of(headers["x-request-id"])["total_tokens"] == 19


def test_a_translation_of_speech_is_routed_as_well(scripted: Scripted) -> None:
    """The other endpoint that takes forms."""
    scripted.up.answer(json_reply({"text": "hello"}))
    form = {"model": "renamed", "response_format": "json"}
    done = httpx2.post(
        f"{scripted.gateway.base_url}/v1/audio/translations", data=form, files={"file": ("a.wav", AUDIO)}
    )

    assert done.json() == {"text": "hello"}
    assert content_of(form_of(scripted.up.received[0])["model"]) == b"upstream-name"


def test_speech_passes_as_bytes(client: openai.OpenAI, scripted: Scripted) -> None:
    """Audio that the backend sends in pieces is what the client gets."""
    parts = tuple(AUDIO[i : i + 30_000] for i in range(0, len(AUDIO), 30_000))
    scripted.up.answer(Reply(parts, headers={"content-type": "audio/mpeg"}, framing="chunked"))
    done = client.audio.speech.create(model="renamed", voice="alloy", input="hello")

    assert done.content == AUDIO
    assert scripted.up.received[0].json == {"input": "hello", "model": "upstream-name", "voice": "alloy"}


def test_images_are_generated_and_counted(client: openai.OpenAI, scripted: Scripted) -> None:
    """Images pass, and their usage is accounted."""
    usage = {"input_tokens": 50, "output_tokens": 50, "total_tokens": 100}
    scripted.up.answer(json_reply({"created": 1, "data": [{"b64_json": "aGVsbG8="}], "usage": usage}))
    headers = identified()
    done = client.images.generate(model="plain", prompt="a cat", extra_headers=headers)

    assert done.data is not None
    assert done.data[0].b64_json == "aGVsbG8="
    assert scripted.up.received[0].path == "/v1/images/generations"
    assert scripted.gateway.records.access_of(headers["x-request-id"])["total_tokens"] == 100


def test_documents_are_reranked(client: openai.OpenAI, scripted: Scripted) -> None:
    """The endpoint that OpenAI itself has not is routed like the others."""
    answer: object = {"results": [{"index": 1, "relevance_score": 0.9}]}
    scripted.up.answer(json_reply(answer))
    request = {"model": "plain", "query": "cats", "documents": ["dogs", "cats"]}

    assert client.post("/rerank", cast_to=object, body=request) == answer
    assert (scripted.up.received[0].path, scripted.up.received[0].json) == ("/v1/rerank", request)


def test_nothing_is_edited_where_nothing_has_to_be(scripted: Scripted) -> None:
    """Unknown fields, big numbers, escapes and white space reach the other side as they were written, both ways."""
    body = b'{ "model":"plain", "seed":12345678901234567890123,\n"messages":[],"x":[1.10,1e2,-0.0,"\\u00e9\xc3\xa9"] }'
    answer = b'{"id":"1", "big":98765432109876543210, "f":1.50, "usage" : {"total_tokens":7}, "s":"\\ud83d\\ude00"}\n'
    scripted.up.answer(Reply((answer,), headers={"content-type": "application/json", "x-vendor": "kept"}))
    got = chat(scripted, body)

    assert scripted.up.received[0].body == body
    assert (got.content, got.headers["x-vendor"]) == (answer, "kept")


def test_an_override_changes_the_model_alone(scripted: Scripted) -> None:
    """With ``modelNameOverride`` the value of ``model`` is replaced in place and the length follows."""
    body = b'{ "x":{"model":"renamed"}, "model" : "renamed", "seed":12345678901234567890123, "messages":[] }'
    chat(scripted, body)

    [received] = scripted.up.received
    assert received.body == body.replace(b'"model" : "renamed"', b'"model" : "upstream-name"')
    assert received.header("content-length") == str(len(received.body))


def test_usage_is_asked_for_and_taken_out_again(scripted: Scripted) -> None:
    """The upstream is asked for usage; its chunk is kept from a client that did not ask, every other byte is not."""
    events = [
        b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"he"}}],"model":"m","usage":null}\n\n',
        b": a comment\n\n",
        b'data:{"choices":[{"index":0,"delta":{"content":"llo"},"finish_reason":"stop"}],"usage":null}\r\n\r\n',
    ]
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}\n\n'
    scripted.up.answer(sse_reply([*events, usage]))
    headers = identified()
    body = b'{"model":"plain","stream":true, "messages":[]}'
    got = chat(scripted, body, headers)

    [received] = scripted.up.received
    assert received.json == {
        "model": "plain",
        "stream": True,
        "messages": [],
        "stream_options": {"include_usage": True},
    }
    assert received.body.endswith(body[1:])
    assert got.content == b"".join(events) + b"data: [DONE]\n\n"
    assert scripted.gateway.records.access_of(headers["x-request-id"])["total_tokens"] == 8


def test_a_client_that_asks_for_usage_itself_gets_every_byte(scripted: Scripted) -> None:
    """Then neither the request nor the stream is touched."""
    events = [chunk("hello"), chunk(finish="stop"), {**chunk(), "choices": [], "usage": COMPLETION["usage"]}]
    reply = sse_reply(events)
    scripted.up.answer(reply)
    body = b'{"model":"plain","stream":true,"stream_options": {"include_usage" :true},"messages":[]}'
    got = chat(scripted, body)

    assert scripted.up.received[0].body == body
    assert got.content == b"".join(reply.parts)


def test_an_error_that_is_no_json_is_put_into_the_dialect(client: openai.OpenAI, scripted: Scripted) -> None:
    """The HTML of a proxy in between becomes an error object, so that the SDK shows its text."""
    html = b"<html><h1>502 Bad Gateway</h1></html>"
    scripted.up.answer(Reply((html,), 502, {"content-type": "text/html"}))
    with pytest.raises(openai.InternalServerError, match="502 Bad Gateway") as caught:
        client.chat.completions.create(model="plain", messages=user("hello"))

    assert (caught.value.status_code, caught.value.type) == (502, "server_error")


def test_a_retry_after_a_throttled_try_succeeds(client: openai.OpenAI, scripted: Scripted) -> None:
    """The SDK's own retries work through the gateway, by the wait that the upstream asked for."""
    error = {"error": {"message": "slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}}
    scripted.up.answer(json_reply(error, 429, retry_after_ms="5"), json_reply(COMPLETION))
    done = client.with_options(max_retries=1).chat.completions.create(model="plain", messages=user("hello"))

    assert done.choices[0].message.content == "hello"
    assert len(scripted.up.received) == 2


def test_a_body_that_breaks_off_is_an_error_in_the_dialect(client: openai.OpenAI, scripted: Scripted) -> None:
    """Half a JSON answer is a 502 with an error object: its headers were still waiting, so the status could change."""
    half = json.dumps(COMPLETION).encode()[:40]
    scripted.up.answer(
        Reply((half,), headers={"content-type": "application/json", "content-length": "400"}, ending="reset")
    )
    with pytest.raises(openai.InternalServerError, match="broke off") as caught:
        client.chat.completions.create(model="plain", messages=user("hello"))

    assert (caught.value.status_code, caught.value.code) == (502, "upstream_reset")


def test_a_backend_over_http2_streams(client: openai.OpenAI, scripted: Scripted) -> None:
    """A backend that speaks HTTP/2 is served the same."""
    scripted.up.answer(sse_reply([chunk("hel"), chunk("lo"), chunk(finish="stop")]))
    chunks = list(client.chat.completions.create(model="over-http2", messages=user("hello"), stream=True))

    assert text_of(chunks) == "hello"
    assert scripted.up.received[0].protocol == "HTTP/2"
