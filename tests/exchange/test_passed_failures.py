"""What a client of the upstream's own dialect is told when the upstream does not speak it."""

import gzip
import json
from typing import Any

import pytest

from extproc.config.loader import load
from extproc.conversation.provenance import marked
from extproc.exchange.gateway import Gateway
from extproc.exchange.machine import Exchange
from extproc.exchange.messages import BodyMode, ResponseBody
from tests.support.exchange_driver import chat, error_of, proceed, reply, response_headers, sent, whole

CONFIG = """
backends:
- {name: openai, outputSchema: {schema: OpenAI}}
- {name: azure, outputSchema: {schema: AzureOpenAI, version: "2024-10-21"}}
- {name: claude, outputSchema: {schema: Anthropic}}
- {name: other, outputSchema: {schema: Anthropic}}
rules:
- {headers: [{name: x-ai-eg-model, value: gpt}], backends: [{name: openai}]}
- {headers: [{name: x-ai-eg-model, value: azure}], backends: [{name: azure}]}
- {headers: [{name: x-ai-eg-model, value: claude}], backends: [{name: claude}]}
- {headers: [{name: x-ai-eg-model, value: m}], stickiness: Conversation, backends: [{name: openai}, {name: azure}]}
- {headers: [{name: x-ai-eg-model, value: n}], stickiness: Conversation, backends: [{name: claude}, {name: other}]}
"""
GATEWAY = Gateway.compile(load(CONFIG.encode()))
OPENAI, ANTHROPIC, COUNT = "/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens"
each_path = pytest.mark.parametrize("path", [OPENAI, ANTHROPIC, COUNT])


def asked(path: str, **fields: Any) -> Exchange:
    """An exchange whose request passed to the vendor of its own dialect."""
    model = "gpt" if path == OPENAI else "claude"
    return sent(chat(model, max_tokens=9, **fields), path=path, gateway=GATEWAY)[0]


@each_path
@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"\xff"])
@pytest.mark.parametrize("status", [400, 403, 429, 500])
def test_an_error_that_is_no_object_becomes_one(path: str, status: int, body: bytes) -> None:
    """Whatever it is called, an error that no SDK could read is told in the dialect with its status."""
    for kind in ("application/json", "text/html"):
        made = asked(path)
        action = whole(made, body, status=status, kind=kind)

        assert error_of(action)["message"]
        assert dict(action.set_headers).get(":status", str(status)) == str(status)
        assert (made.finish().outcome, made.finish().status) == ("upstream_error", status)


@each_path
@pytest.mark.parametrize(("status", "told"), [(403, 403), (500, 500), (301, 502), (304, 502), (200, 502), (204, 502)])
def test_a_reply_that_ends_with_its_headers_is_told_too(path: str, status: int, told: int) -> None:
    """An empty error keeps its status; an answer that is empty, and what is neither, are a bad gateway."""
    made = asked(path)
    action = reply(made.receive(response_headers(status, end=True)))

    assert action.status == told
    assert error_of(action)["message"]


@each_path
def test_a_redirect_with_a_body_is_a_bad_gateway(path: str) -> None:
    """Where the upstream would send the client is no place that the client knows."""
    action = reply(asked(path).receive(response_headers(302, "text/html", location="https://x/")))

    assert action.status == 502
    assert "location" not in dict(action.headers)


@each_path
@pytest.mark.parametrize("kind", ["text/html", "", "application/octet-stream"])
def test_an_answer_of_another_media_type_is_a_bad_gateway(path: str, kind: str) -> None:
    """A login page with status 200 is no answer."""
    made = asked(path)
    action = whole(made, b"<html>log in</html>", kind=kind)

    assert dict(action.set_headers)[":status"] == "502"
    assert error_of(action)["message"]
    assert "log in" not in made.finish().error


def test_an_answer_with_the_wrong_label_passes_if_it_is_one() -> None:
    """Small servers forget the content type; the object is an answer nevertheless, and counted, packed or not."""
    answer = b'{"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}'
    for body, more in ((answer, {}), (gzip.compress(answer), {"content_encoding": "gzip"})):
        made = asked(OPENAI)
        assert whole(made, body, kind="text/plain", **more).body is None
        assert made.finish().usage.output_tokens == 2


def test_other_endpoints_answer_with_what_they_like() -> None:
    """Speech is no JSON."""
    made, _ = sent(chat("gpt"), path="/v1/audio/speech", gateway=GATEWAY)
    action = proceed(made.receive(response_headers(kind="audio/mpeg")))

    assert action.body_mode is None
    assert made.finish().outcome == "ok"


def test_a_readable_error_passes_as_it_came() -> None:
    """An object is what the vendor says, whatever its members; not a byte of it changes."""
    made = asked(ANTHROPIC)
    headers = proceed(made.receive(response_headers(400)))
    passed = proceed(made.receive(ResponseBody(b'{ "detail": "no" }', end=True)))

    assert headers.body_mode is BodyMode.BUFFERED
    assert passed.body is None
    assert (passed.set_headers, passed.remove_headers) == ((), ())


@pytest.mark.parametrize(
    "query",
    [
        "api-version=evil",
        "API-VERSION=evil",
        "a=b;api-version=evil",
        "%61pi%2Dversion=e",
        "Api-Version",
        " api-version=e",
    ],
)
def test_the_platforms_parameters_are_said_once(query: str) -> None:
    """However a client spells the api-version, or hides it behind a semicolon, the operator's is the only one."""
    _, action = sent(chat("azure"), path=f"{OPENAI}?{query}&c=d", gateway=GATEWAY)

    expected = "/openai/deployments/azure/chat/completions?api-version=2024-10-21&c=d"
    assert dict(proceed(action).set_headers)[":path"] == expected


@pytest.mark.parametrize(("path", "model"), [(OPENAI, "m"), (ANTHROPIC, "n")])
@pytest.mark.parametrize("message", [b"1e999", b'{"role":"user","content":1e999}', b'"x"'])
def test_a_sticky_rule_takes_what_cannot_be_read(path: str, model: str, message: bytes) -> None:
    """A conversation whose beginning is unreadable is the upstream's to refuse, not a failure of the gateway's."""
    body = b'{"model":"%b","max_tokens":9,"messages":[%b]}' % (model.encode(), message)
    made, action = sent(body, path=path, gateway=GATEWAY)

    assert proceed(action).body is None
    assert made.record.backend


@pytest.mark.parametrize("origin", ["google.0a1b2c3d", "anthropic.00000000"])
def test_reasoning_that_does_not_go_back_is_in_the_record(origin: str) -> None:
    """Taken out on the way to the vendor of the client's own dialect, it is listed as in a translation."""
    thinking = {"type": "thinking", "thinking": "t", "signature": marked("sig", origin)}
    turns: list[Any] = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [{"type": "text", "text": "b"}, thinking]},
        {"role": "user", "content": "c"},
    ]
    made, action = sent(chat("claude", max_tokens=9, messages=turns), path=ANTHROPIC, gateway=GATEWAY)

    assert "thinking" not in json.dumps(json.loads(proceed(action).body or b"")["messages"])
    assert made.finish().dropped == ("messages[1].content[1]",)
    details = [{"type": "reasoning.text", "text": "t", "signature": marked("sig", origin)}]
    turns = [turns[0], {"role": "assistant", "content": "b", "reasoning_details": details}, turns[2]]
    made, action = sent(chat("gpt", messages=turns), gateway=GATEWAY)

    assert b"reasoning_details" not in (proceed(action).body or b"")
    assert made.finish().dropped == ("messages[1]",)


def test_reasoning_that_goes_back_is_no_loss() -> None:
    """What is the vendor's own stays, marked or not, and nothing is listed."""
    own = {"type": "thinking", "thinking": "t", "signature": "sig"}
    turns = [{"role": "user", "content": "llmr1. a"}, {"role": "assistant", "content": [own]}]
    made, action = sent(chat("claude", max_tokens=9, messages=turns), path=ANTHROPIC, gateway=GATEWAY)

    assert proceed(action).body is None
    assert made.finish().dropped == ()
