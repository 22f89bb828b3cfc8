"""Errors, cache marks, citations and thinking at the edges where the API itself is strict."""

import json
from typing import Any

import pytest

from extproc.conversation.errors import ApiError, Kind, UpstreamError
from extproc.conversation.provenance import marked
from extproc.dialects.anthropic import DIALECT
from extproc.dialects.contract import UpstreamRequest
from extproc.exchange.replies import shown
from tests.support.anthropic_messages import SONNET_4_5, destination

SECRET = "invalid x-api-key sk-ant-XXXX of org-1"


def request(**members: Any) -> bytes:
    body: dict[str, Any] = {"model": SONNET_4_5, "max_tokens": 5000, "messages": [{"role": "user", "content": "a"}]}
    return json.dumps({**body, **members}).encode()


@pytest.mark.parametrize(
    ("status", "word", "kind"),
    [(401, "authentication_error", Kind.AUTHENTICATION), (403, "permission_error", Kind.PERMISSION), (401, "x", None)],
)
def test_refusals_of_a_credential_are_withheld(status: int, word: str, kind: Kind | None) -> None:
    """The vendor's words on the gateway's own key go nowhere."""
    body = json.dumps({"type": "error", "error": {"type": word, "message": SECRET}}).encode()
    error = DIALECT.read_error(status, {}, body)
    assert (error.status, error.kind) == (status, kind or Kind.AUTHENTICATION)
    assert "sk-ant" not in error.message
    assert not error.vendor


def test_an_empty_account_is_a_limit() -> None:
    """A client of the gateway is shown 429 with the type that goes with it; from the vendor itself 402 stays."""
    broke = ApiError(402, Kind.BILLING, "no money")
    seen = json.loads(DIALECT.write_error(shown(broke, "anthropic")))
    assert (shown(broke, "anthropic").status, seen["error"]["type"]) == (429, "rate_limit_error")
    assert json.loads(DIALECT.write_error(broke))["error"]["type"] == "billing_error"


def test_an_error_under_a_200_is_that_error() -> None:
    """Kind and status are those that the word has as a reply."""
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    with pytest.raises(UpstreamError) as raised:
        DIALECT.read_response(body, {}, UpstreamRequest(b""))
    error = raised.value.error
    assert (error.status, error.kind, error.message) == (529, Kind.OVERLOADED, "Overloaded")


def test_unknown_citations_are_listed() -> None:
    """A citation of a kind that is not known is named when it is left out."""
    text = {"type": "text", "text": "b", "citations": [{"type": "new_location"}, {"type": "char_location"}]}
    asked = DIALECT.read_request(
        request(messages=[{"role": "user", "content": "a"}, {"role": "assistant", "content": [text]}])
    )
    assert [extra.path for extra in asked.extras] == ["messages[1].content[0].citations[0]"]


def test_marks_are_ordered_as_they_are_sent() -> None:
    """A result stands before the text that the client wrote before it, and its short mark shortens the text's."""
    short, long = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    text = {"type": "text", "text": "x", "cache_control": long}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "r", "cache_control": short}
    turns = [{"role": "assistant", "content": [call]}, {"role": "user", "content": [text, result]}]
    asked = DIALECT.read_request(request(messages=[{"role": "user", "content": "a"}, *turns]))
    written = DIALECT.write_request(asked, destination(SONNET_4_5))
    marks = [block.get("cache_control") for block in json.loads(written.body)["messages"][2]["content"]]
    assert marks == [short, short]
    assert "messages[2].content[0]" in [loss.path for loss in written.losses]


@pytest.mark.parametrize(("first", "whole"), [("5m", "5m"), ("1h", "1h")])
def test_the_automatic_mark_outlives_none_before_it(first: str, whole: str) -> None:
    """It stands on the last block, so it is as short as the shortest mark."""
    block = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": first}}
    body = request(messages=[{"role": "user", "content": [block]}], cache_control={"type": "ephemeral", "ttl": "1h"})
    written = DIALECT.write_request(DIALECT.read_request(body), destination(SONNET_4_5))
    assert json.loads(written.body)["cache_control"].get("ttl", "5m") == whole
    assert [loss.path for loss in written.losses] == (["cache_control"] if whole == "5m" else [])


FOREIGN = {"type": "thinking", "thinking": "t", "signature": marked("s", "google.12345678")}
CALL = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]}


@pytest.mark.parametrize(
    ("answer", "follow", "mode", "sent"),
    [
        ([FOREIGN, CALL], [RESULT], "enabled", "disabled"),
        ([FOREIGN, CALL], [RESULT], "adaptive", "adaptive"),
        ([FOREIGN, {"type": "text", "text": "b"}], [{"role": "user", "content": "c"}], "enabled", "enabled"),
    ],
)
def test_passed_through_tool_loop_without_its_thinking(
    answer: list[dict[str, Any]], follow: list[dict[str, Any]], mode: str, sent: str
) -> None:
    """Manual thinking goes where the calls of the loop have lost theirs, and is listed."""
    thinking = {"type": mode, "budget_tokens": 2000}
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": answer}, *follow]
    body = request(messages=messages, thinking=thinking)
    edited = json.loads(DIALECT.edit(body, model=None, include_usage=False))
    assert edited["thinking"]["type"] == sent
    assert FOREIGN not in edited["messages"][1]["content"]
    paths = [loss.path for loss in DIALECT.edit_losses(body, model=None)]
    assert paths == ["messages[1].content[0]", *(["thinking"] if sent == "disabled" else [])]
