"""What the tests of this room share: neutral requests in short, and what becomes of them."""

import json
from typing import Any, cast

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.events import Event
from extproc.conversation.request import Block, Request, Role, Text, Thinking, ToolCall, ToolResult, Turn
from extproc.conversation.response import Response
from extproc.dialects.contract import Destination, UpstreamRequest
from extproc.dialects.gemini import DIALECT
from extproc.dialects.gemini.models import capabilities_of
from tests.support import gemini_oracle

GEMINI_3 = "gemini-3-flash-preview"
GEMINI_25 = "gemini-2.5-flash"
GEMINI_2 = "gemini-2.0-flash"
SENT = UpstreamRequest(b"{}")


def turn(role: str, *blocks: Block | str, at: int = 0) -> Turn:
    """One message; a string is a text block."""
    path = f"messages[{at}]"
    written = tuple(Text(block, path) if isinstance(block, str) else block for block in blocks)
    return Turn(cast("Role", role), written, path)


def conversation(*turns: tuple[str, Any], **members: Any) -> Request:
    """A request of (role, block or blocks or text) pairs."""
    built = []
    for at, (role, content) in enumerate(turns):
        blocks = content if isinstance(content, list | tuple) else [content]
        built.append(turn(role, *blocks, at=at))
    return Request("m", tuple(built), **members)


def ask(**members: Any) -> Request:
    """One user message, and whatever else."""
    return conversation(("user", "Hello"), **members)


def call(call_id: str, name: str = "f", arguments: str = "{}") -> ToolCall:
    return ToolCall("messages[1].tool_calls[0]", call_id, name, arguments)


def result(call_id: str, *texts: str, **members: Any) -> ToolResult:
    return ToolResult("messages[2]", call_id, tuple(Text(text) for text in texts), **members)


def signed(signature: str, text: str = "") -> Thinking:
    return Thinking("messages[1]", text, signature)


def to(model: str = GEMINI_3, *, vertex: bool = True, **overrides: Any) -> Destination:
    """A destination as the exchange makes it."""
    known: Capabilities = capabilities_of(model).overridden(overrides)
    return Destination(model, known, fetches_urls=True, hosted=vertex)


def write(request: Request, destination: Destination | None = None) -> UpstreamRequest:
    """The request as it is sent, once google-genai has taken it."""
    destination = destination or to()
    sent = DIALECT.write_request(request, destination)
    gemini_oracle.check_request(sent.body, vertex=destination.hosted)
    return sent


def body(request: Request, destination: Destination | None = None) -> dict[str, Any]:
    """The upstream body, parsed."""
    parsed: dict[str, Any] = json.loads(write(request, destination).body)
    return parsed


def contents(request: Request, destination: Destination | None = None) -> list[tuple[str, list[dict[str, Any]]]]:
    """Role and parts of each content."""
    return [(content["role"], content["parts"]) for content in body(request, destination)["contents"]]


def losses(request: Request, destination: Destination | None = None) -> list[tuple[str, str]]:
    """Path and kind of what was listed."""
    return [(loss.path, loss.kind) for loss in write(request, destination).losses]


def answer(*parts: dict[str, Any], finish: str | None = "STOP", **members: Any) -> dict[str, Any]:
    """An answer, or a piece of one, of one candidate with these parts; ``members`` are the answer's own."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], **members}


def read(told: Any) -> Response:
    """A whole answer."""
    return DIALECT.read_response(json.dumps(told).encode(), {}, SENT)


def sse(*pieces: Any, end: bytes = b"\r\n\r\n") -> bytes:
    """A stream of server-sent events."""
    return b"".join(b"data: " + json.dumps(piece, ensure_ascii=False).encode() + end for piece in pieces)


def events(*chunks: bytes) -> list[Event]:
    """All events of a stream that arrives in these chunks."""
    reader = DIALECT.stream_reader({}, SENT)
    return [*(event for chunk in chunks for event in reader.feed(chunk)), *reader.finish()]
