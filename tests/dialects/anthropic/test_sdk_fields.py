"""No field and no block of the official SDK is overlooked: each is read, refused elsewhere, or listed by choice."""

import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from anthropic.types.beta import BetaContentBlockParam, BetaToolUnionParam
from anthropic.types.beta.message_create_params import MessageCreateParamsNonStreaming
from pydantic import BaseModel
from typing_extensions import get_type_hints

from tests.support.anthropic_messages import USER, extras, read

#: Fields that the SDK sends as headers.
HEADERS = {"betas", "user_profile_id", "workspace_id"}
NEUTRAL = {
    "cache_control",
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "output_config",
    "service_tier",
    "stop_sequences",
    "stream",
    "system",
    "thinking",
    "tool_choice",
    "tools",
}
#: Left out by choice: coding agents send them with every request.
LISTED = {"context_management", "diagnostics", "speed"}
FIELDS = sorted(set(get_type_hints(MessageCreateParamsNonStreaming)) - HEADERS - NEUTRAL)
NEUTRAL_BLOCKS = {
    "text",
    "image",
    "document",
    "search_result",
    "tool_use",
    "tool_result",
    "thinking",
    "redacted_thinking",
}


def types_of(union: Any) -> Iterator[str]:
    """The ``type`` words of the members of a union of typed dicts or models."""
    if get_origin(union) is Annotated:
        yield from types_of(get_args(union)[0])
    elif get_origin(union) in {Union, types.UnionType}:
        for member in get_args(union):
            yield from types_of(member)
    else:
        is_model = isinstance(union, type) and issubclass(union, BaseModel)
        hint = union.model_fields["type"].annotation if is_model else get_type_hints(union).get("type")
        words = get_args(hint)
        yield from (word for word in words if isinstance(word, str))


BLOCKS = sorted(set(types_of(BetaContentBlockParam)) - NEUTRAL_BLOCKS)
TOOLS = sorted(set(types_of(BetaToolUnionParam)) - {"custom"})


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_has_a_fate(field: str) -> None:
    """A field that a new SDK brings fails here until somebody decides what becomes of it."""
    assert extras(read(**{field: "x"})) == {field: "listed" if field in LISTED else "refused"}


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_has_a_fate(block: str) -> None:
    """A block without a neutral form is kept for refusal by every other upstream."""
    assert extras(read(messages=[{"role": "user", "content": [{"type": block}]}, USER])) == {
        "messages[0].content[0]": "refused"
    }


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_has_a_fate(tool: str) -> None:
    """A tool of Anthropic's own is kept for refusal, and may be chosen all the same."""
    request = read(tools=[{"type": tool, "name": "x"}], tool_choice={"type": "tool", "name": "x"})
    assert extras(request) == {"tools[0]": "refused"}


def test_there_is_something_to_decide() -> None:
    """The lists above are not empty by a change of the SDK's shape."""
    assert len(FIELDS) > 8
    assert len(BLOCKS) > 8
    assert len(TOOLS) > 15
