"""Neutral requests by hand, and the chat completions bodies that become of them."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Refusal
from extproc.conversation.request import Block, Request, Role, Text, Turn
from extproc.dialects.contract import Destination, UpstreamRequest
from extproc.dialects.openai import DIALECT
from extproc.dialects.openai.models import UNKNOWN
from tests.support import openai_oracle

HELLO = (Turn("user", (Text("Hello"),), "messages[0]"),)
OPENAI = replace(UNKNOWN, maker="openai")


def turn(role: Role, *blocks: Block, path: str = "messages[1]") -> Turn:
    """One turn of these blocks."""
    return Turn(role, blocks, path)


def request(*turns: Turn, **fields: Any) -> Request:
    """A request of these turns, of the user's greeting when there are none."""
    return Request("client-model", turns or HELLO, **fields)


def sent(asked: Request, capabilities: Capabilities = OPENAI, **destination: Any) -> UpstreamRequest:
    """What is sent for it; fails unless openai-python's types know all of it."""
    to = Destination("m", capabilities, **{"fetches_urls": True, **destination})
    written = DIALECT.write_request(asked, to)
    openai_oracle.check_request(written.body)
    return written


def written(asked: Request, capabilities: Capabilities = OPENAI, **destination: Any) -> dict[str, Any]:
    """The body that is sent for it."""
    body: dict[str, Any] = json.loads(sent(asked, capabilities, **destination).body)
    return body


def losses(asked: Request, capabilities: Capabilities = OPENAI) -> list[tuple[str, str]]:
    """Path and kind of what did not arrive as it was."""
    return [(loss.path, loss.kind) for loss in sent(asked, capabilities).losses]


def refused(asked: Request, capabilities: Capabilities = OPENAI, **destination: Any) -> str:
    """The path at which it is refused."""
    with pytest.raises(Refusal) as refusal:
        sent(asked, capabilities, **destination)
    assert refusal.value.error.param is not None
    return refusal.value.error.param
