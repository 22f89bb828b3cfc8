"""A neutral request as a body of generateContent, streamGenerateContent and countTokens.

``contents`` is the last member: the body of a longer conversation begins with the bytes of the shorter one, as far as
the members before it do not change. Facts: google-genai 3.4 ``types`` and ``models`` (2026-11-22).
"""

from typing import Any

import msgspec

from extproc.conversation.errors import Loss
from extproc.conversation.request import Request
from extproc.dialects.contract import Destination, UpstreamRequest
from extproc.dialects.gemini.contents import write_contents, write_system
from extproc.dialects.gemini.settings import maybe_labels, maybe_tier, write_config, write_rest
from extproc.dialects.gemini.tools import plan_tools
from extproc.dialects.google_models import resource_name

_ENCODER = msgspec.json.Encoder()
#: What a cached content holds already, and may not be said again beside it.
_CACHED = ("systemInstruction", "tools", "toolConfig")
#: What Vertex AI counts; the others change no token.
_COUNTED = ("systemInstruction", "tools", "generationConfig", "contents")


def write_request(request: Request, destination: Destination) -> UpstreamRequest:
    """The body of a chat request; raises ``Refusal`` for what Gemini cannot carry."""
    losses: list[Loss] = []
    return UpstreamRequest(_ENCODER.encode(_members(request, destination, losses)), tuple(losses))


def write_count(request: Request, destination: Destination) -> UpstreamRequest:
    """The body that asks how many tokens the request has."""
    losses: list[Loss] = []
    members = _members(request, destination, losses)
    if destination.hosted:
        body = {name: members[name] for name in _COUNTED if name in members}
    else:
        body = {"generateContentRequest": {"model": resource_name(destination.model), **members}}
    return UpstreamRequest(_ENCODER.encode(body), tuple(losses))


def _members(request: Request, destination: Destination, losses: list[Loss]) -> dict[str, Any]:
    capabilities = destination.capabilities
    config = write_config(request, capabilities, losses)
    tools = plan_tools(request, capabilities, losses)
    fields = write_rest(request, config, losses, stored_files=capabilities.stored_files)
    members: dict[str, Any] = {
        "systemInstruction": write_system(request.system, losses),
        "tools": tools.tools,
        "toolConfig": tools.config,
        "generationConfig": config,
        "serviceTier": maybe_tier(request, losses),
        "labels": maybe_labels(request, destination, losses),
        **fields,
        "contents": write_contents(request.turns, destination, losses),
    }
    if "cachedContent" in fields:
        doubled = [name for name in _CACHED if members.pop(name)]
        losses += [
            Loss("cachedContent", "approx", f"{name} is left out: the cached content has it") for name in doubled
        ]
    return {name: value for name, value in members.items() if value}
