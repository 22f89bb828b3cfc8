"""anthropic-python as the judge of what we send to Anthropic, and of what we send to Anthropic's clients.

Answers and events are validated strictly by the SDK's own pydantic models; requests by its typed dicts, where a member
that it does not declare is an error. Streams are also held to the order of events that the API keeps.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

import anthropic
import httpx2
from anthropic.types import Message, MessageCountTokensParams, ModelInfo, RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from anthropic.types.shared import ErrorResponse
from pydantic import TypeAdapter, ValidationError

from tests.support.typed_dicts import maybe_misfit

Handler = Callable[[httpx2.Request], httpx2.Response]

_MESSAGE: TypeAdapter[Any] = TypeAdapter(Message)
_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
_MODEL: TypeAdapter[Any] = TypeAdapter(ModelInfo)
_ERROR: TypeAdapter[Any] = TypeAdapter(ErrorResponse)
_OUTSIDE = frozenset({"ping", "error"})
#: Members of the older version, which the SDK's types no longer declare.
_SAMPLING = frozenset({"temperature", "top_p", "top_k"})
#: Kind of block -> the deltas that may stand in it.
_DELTAS = {
    "text": {"text_delta", "citations_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "redacted_thinking": set[str](),
    "tool_use": {"input_json_delta"},
}


def client(handler: Handler, **options: Any) -> anthropic.Anthropic:
    """The SDK, talking to ``handler`` instead of a network."""
    http = httpx2.Client(transport=httpx2.MockTransport(handler))
    settings = {"api_key": "sk-test", "base_url": "http://gateway.test", "max_retries": 0, "http_client": http}
    return anthropic.Anthropic(**{**settings, **options})


def check_message(body: bytes) -> dict[str, Any]:
    """The message, if the SDK's models take it as it stands."""
    message: dict[str, Any] = json.loads(body)
    _MESSAGE.validate_python(message, strict=True)
    return message


def check_error(body: bytes) -> dict[str, Any]:
    """The ``error`` object, if the SDK knows such a body."""
    answer: dict[str, Any] = json.loads(body)
    if answer["error"]["type"] in {"request_too_large", "conflict_error"}:
        # Two words of the API's that the SDK's union lacks.
        answer["error"]["type"] = "api_error"
    _ERROR.validate_python(answer, strict=True)
    error: dict[str, Any] = json.loads(body)["error"]
    return error


def check_model(value: Mapping[str, Any]) -> None:
    """Fails unless the SDK takes the model of a list; dates are text on the wire."""
    _MODEL.validate_json(json.dumps(value))


def events_of(stream: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Names and data of the events, framed as the SDK frames them."""
    events = []
    for block in stream.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        assert name.startswith("event: "), block
        assert data.startswith("data: "), block
        events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    assert stream.endswith(b"\n\n") or not stream
    return events


def check_stream(stream: bytes) -> list[dict[str, Any]]:
    """The events of a whole stream, if they are legal in themselves and in their order (``Automaton``)."""
    automaton = Automaton()
    told = []
    for name, data in events_of(stream):
        assert data["type"] == name
        if name not in _OUTSIDE:
            try:
                _EVENT.validate_python(data, strict=True)
            except ValidationError as error:
                raise AssertionError(f"the SDK refuses {data}: {error}") from error
        automaton.step(data)
        told.append(data)
    automaton.finish()
    return told


class Automaton:
    """The order of events: what may come next is what the state allows, and nothing else."""

    def __init__(self) -> None:
        self.state: Literal["new", "between", "in", "said", "over"] = "new"
        self._next = 0
        self._kind = ""
        self._signed = False
        self._input = ""

    def step(self, event: Mapping[str, Any]) -> None:
        """One event more."""
        word = event["type"]
        assert self.state != "over", f"{word} after the end"
        if word == "ping":
            assert self.state != "new", "nothing stands before message_start"
        elif word == "error":
            check_error(json.dumps(event).encode())
            self.state = "over"
        else:
            getattr(self, f"_{word}")(event)

    def finish(self) -> None:
        """The end of the bytes."""
        assert self.state == "over", f"the stream ends while it is {self.state}"

    def _message_start(self, event: Mapping[str, Any]) -> None:
        assert self.state == "new"
        message = event["message"]
        assert (message["content"], message["stop_reason"], message["stop_sequence"]) == ([], None, None)
        self.state = "between"

    def _content_block_start(self, event: Mapping[str, Any]) -> None:
        assert self.state == "between"
        assert event["index"] == self._next
        block = event["content_block"]
        self._kind, self._signed, self._input = block["type"], False, ""
        empty = {"text": ("text", ""), "thinking": ("thinking", ""), "tool_use": ("input", {})}
        if self._kind in empty:
            member, value = empty[self._kind]
            assert block[member] == value
        self.state = "in"

    def _content_block_delta(self, event: Mapping[str, Any]) -> None:
        assert self.state == "in"
        assert event["index"] == self._next
        word = event["delta"]["type"]
        assert word in _DELTAS[self._kind], f"{word} in {self._kind}"
        assert not self._signed, "a signature is the last word of its block"
        self._signed = word == "signature_delta"
        self._input += event["delta"].get("partial_json", "")

    def _content_block_stop(self, event: Mapping[str, Any]) -> None:
        assert self.state == "in"
        assert event["index"] == self._next
        if self._kind == "tool_use":
            assert isinstance(json.loads(self._input or "{}"), dict)
        self._next += 1
        self.state = "between"

    def _message_delta(self, event: Mapping[str, Any]) -> None:
        assert self.state in {"between", "said"}
        assert event["delta"]["stop_reason"] is not None
        self.state = "said"

    def _message_stop(self, _event: Mapping[str, Any]) -> None:
        assert self.state == "said"
        self.state = "over"


# --- requests


def check_request(body: bytes, *, count: bool = False) -> dict[str, Any]:
    """The request, if it is one by the SDK's types; with ``count`` one that asks for the number of tokens."""
    request: dict[str, Any] = json.loads(body)
    checked = {name: value for name, value in request.items() if name not in _SAMPLING}
    assert all(type(request[name]) in {int, float} for name in _SAMPLING & request.keys())
    shape: Any = MessageCreateParamsStreaming if request.get("stream") else MessageCreateParamsNonStreaming
    problem = maybe_misfit(checked, MessageCountTokensParams if count else shape, "$")
    assert problem is None, problem
    return request
