"""What the tests of this room share: neutral requests in short, and what becomes of them."""

from typing import Any, cast

import msgspec

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Loss
from extproc.conversation.request import Block, Request, Role, Text, ToolCall, ToolResult, Turn
from extproc.dialects.bedrock import DIALECT
from extproc.dialects.contract import Destination, UpstreamRequest

#: A model that can do everything that Converse has, for tests that are not about models.
ABLE = Capabilities(
    structured_output="schema",
    reasoning="budget",
    prompt_cache=True,
    tool_cache=True,
    long_cache=True,
    thinking_blocks=True,
    top_k="plain",
)


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


def write(request: Request, capabilities: Capabilities = ABLE) -> UpstreamRequest:
    return DIALECT.write_request(request, Destination("m", capabilities))


def body(request: Request, capabilities: Capabilities = ABLE) -> dict[str, Any]:
    """The upstream body, parsed."""
    parsed: dict[str, Any] = msgspec.json.decode(write(request, capabilities).body)
    return parsed


def losses(request: Request, capabilities: Capabilities = ABLE) -> list[tuple[str, str]]:
    """Path and kind of what was listed."""
    return [(loss.path, loss.kind) for loss in _losses(request, capabilities)]


def _losses(request: Request, capabilities: Capabilities) -> tuple[Loss, ...]:
    return write(request, capabilities).losses
