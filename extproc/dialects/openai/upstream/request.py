"""A neutral request as a chat completions body.

``messages`` is the last member: the body of a longer conversation begins with the bytes of the shorter one, as far as
the members before it do not change. A stream is always asked to tell its usage.
"""

from typing import Any, Final

import msgspec

from extproc.conversation.errors import Loss
from extproc.conversation.request import Request, ToolCall
from extproc.dialects.contract import Destination, UpstreamRequest
from extproc.dialects.openai.upstream.messages import write_messages
from extproc.dialects.openai.upstream.names import renamed
from extproc.dialects.openai.upstream.settings import (
    plan_effort,
    write_format,
    write_limits,
    write_rest,
    write_sampling,
)
from extproc.dialects.openai.upstream.tools import write_choice, write_tools

_encode: Final = msgspec.json.Encoder().encode


def write_request(request: Request, destination: Destination) -> UpstreamRequest:
    """The body; raises ``Refusal`` for what the upstream cannot carry."""
    capabilities = destination.capabilities
    losses: list[Loss] = []
    rest = write_rest(request, capabilities, losses)
    effort = plan_effort(request, capabilities, losses)
    tools = write_tools(request, capabilities, losses)
    members: dict[str, Any] = {
        "model": destination.model,
        "stream": request.stream or None,
        "stream_options": {"include_usage": True} if request.stream else None,
        **write_limits(request, capabilities, losses),
        **write_sampling(request, capabilities, effort, losses),
        "reasoning_effort": effort,
        "response_format": write_format(request.output_format, capabilities, losses),
        **rest,
        "tools": tools or None,
        **write_choice(request, capabilities, losses),
        "messages": write_messages(request, capabilities, losses, fetches_urls=destination.fetches_urls),
    }
    body = _encode({name: value for name, value in members.items() if value is not None})
    return UpstreamRequest(body, tuple(losses), tool_names=renamed(_names(request)))


def _names(request: Request) -> list[str]:
    called = [block.name for turn in request.turns for block in turn.blocks if isinstance(block, ToolCall)]
    return [*(tool.name for tool in request.tools), *called]
