"""What Anthropic's Messages API accepts, as far as a gateway can get it wrong: closed shapes, rules between messages.

Fields from anthropic-python 2.12 ``types`` and https://platform.claude.com/docs/en/api/messages (as of 2026-11).
"""

from base64 import b64encode
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

#: The version under which sampling is refused.
STRICT_VERSION = "2026-10-21"
VERSIONS = ("2023-06-01", STRICT_VERSION)
_ToolName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
_ToolUseId = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$")]


class BadRequest(Exception):
    """A request that Anthropic would refuse with an ``invalid_request_error``."""


class Shape(BaseModel):
    """Closed: an unknown member is an error, as it is there."""

    model_config = ConfigDict(extra="forbid", strict=True)


class CacheControl(Shape):
    """Everything before this is to be cached."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class Marked(Shape):
    """A block that can carry a cache mark."""

    cache_control: CacheControl | None = None


class TextBlock(Marked):
    """Text, which is never empty."""

    type: Literal["text"]
    text: Annotated[str, Field(min_length=1)]
    citations: list[dict[str, Any]] | None = None


class MediaBlock(Marked):
    """An image, a document or a search result: looked at no further than its source."""

    type: Literal["image", "document", "search_result"]
    source: dict[str, Any] | str
    title: str | None = None
    context: str | None = None
    citations: dict[str, bool] | None = None
    content: list[TextBlock] | None = None
    transformations: dict[str, Any] | None = None


class ToolUseBlock(Marked):
    """A call of a tool."""

    type: Literal["tool_use"]
    id: _ToolUseId
    name: _ToolName
    input: dict[str, Any]
    caller: dict[str, Any] | None = None


class ToolResultBlock(Marked):
    """What a tool answered."""

    type: Literal["tool_result"]
    tool_use_id: _ToolUseId
    content: str | list[TextBlock | MediaBlock] = ""
    is_error: bool | None = None


class ThinkingBlock(Shape):
    """A thought of the model's, which must come back as it was."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class RedactedBlock(Shape):
    """A thought that nobody may read."""

    type: Literal["redacted_thinking"]
    data: str


Block = Annotated[
    TextBlock | MediaBlock | ToolUseBlock | ToolResultBlock | ThinkingBlock | RedactedBlock, Field(discriminator="type")
]


class Message(Shape):
    """A turn."""

    role: Literal["user", "assistant", "system"]
    content: str | Annotated[list[Block], Field(min_length=1)]

    @property
    def blocks(self) -> list[Any]:
        """Its blocks, whichever way it was written."""
        return [TextBlock(type="text", text=self.content)] if isinstance(self.content, str) else self.content


class Tool(Marked):
    """A tool of the caller's."""

    name: _ToolName
    input_schema: dict[str, Any]
    type: Literal["custom"] | None = None
    description: str | None = None
    strict: bool | None = None
    eager_input_streaming: bool | None = None
    defer_loading: bool | None = None
    input_examples: list[dict[str, Any]] | None = None
    allowed_callers: list[str] | None = None


class ToolChoice(Shape):
    """Which tools may or must be called."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(Shape):
    """Whether and how much to think."""

    type: Literal["enabled", "adaptive", "disabled", "between_tools"]
    budget_tokens: Annotated[int, Field(ge=1024)] | None = None
    display: Literal["summarized", "omitted"] | None = None


class Format(Shape):
    """What the answer must be an instance of."""

    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(Shape):
    """The form of the answer and the effort spent on it."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: Format | None = None


class Counted(Shape):
    """``POST /v1/messages/count_tokens``."""

    model: Annotated[str, Field(min_length=1)]
    messages: Annotated[list[Message], Field(min_length=1)]
    system: str | list[TextBlock] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    cache_control: CacheControl | None = None
    speed: str | None = None

    @property
    def all_tools(self) -> list[Tool]:
        """The tools, none when there are none."""
        return self.tools or []


class Create(Counted):
    """``POST /v1/messages``."""

    max_tokens: Annotated[int, Field(ge=0)]
    metadata: dict[Literal["user_id"], str | None] | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    stop_sequences: list[str] | None = None
    stream: bool = False
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None


def read(shape: type[Counted], body: bytes, version: str) -> Counted:
    """The request, checked; raises ``BadRequest`` for the first thing that the service would refuse."""
    if version not in VERSIONS:
        raise BadRequest("anthropic-version: header is required" if not version else "anthropic-version: unknown")
    try:
        asked = shape.model_validate_json(body)
    except ValidationError as error:
        first = max(error.errors(include_url=False, include_input=False), key=lambda found: len(found["loc"]))
        raise BadRequest(f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}") from None
    if version == STRICT_VERSION:
        for name in {"temperature", "top_p", "top_k"} & asked.model_fields_set:
            raise BadRequest(f"{name}: Extra inputs are not permitted")
    _check_tools(asked)
    _check_turns(asked)
    return asked


def sign(thoughts: str) -> str:
    """The signature of a thought: the demo's secret is that there is none. As with Claude, it is Bedrock's, too."""
    return b64encode(sha256(thoughts.encode()).digest()).decode()


def _check_tools(asked: Counted) -> None:
    names = {tool.name for tool in asked.all_tools}
    choice, thinking = asked.tool_choice, asked.thinking
    if len(names) != len(asked.all_tools):
        raise BadRequest("tools: Tool names must be unique.")
    if choice and not names:
        raise BadRequest("tool_choice: tools must be provided with it")
    if choice and choice.type == "tool" and choice.name not in names:
        raise BadRequest(f"tool_choice.name: Tool '{choice.name}' not found in provided tools")
    if choice and choice.type in {"any", "tool"} and thinking and thinking.type == "enabled":
        raise BadRequest("Thinking may not be enabled when tool_choice forces tool use.")
    if thinking and thinking.type == "enabled":
        limit = getattr(asked, "max_tokens", None)
        if thinking.budget_tokens is None or (limit is not None and thinking.budget_tokens >= limit):
            raise BadRequest("thinking.budget_tokens: must be less than max_tokens")


def _check_turns(asked: Counted) -> None:
    if asked.messages[0].role != "user":
        raise BadRequest("messages.0.role: the first message must be the user's")
    open_calls: list[str] = []
    for i, message in enumerate(asked.messages):
        blocks = message.blocks
        results = [block.tool_use_id for block in blocks if isinstance(block, ToolResultBlock)]
        if sorted(results) != sorted(open_calls):
            raise BadRequest(f"messages.{i}: tool_use ids must each have one tool_result in the next message")
        if any(not isinstance(block, ToolResultBlock) for block in blocks[: len(results)]):
            raise BadRequest(f"messages.{i}: tool_result blocks must come first")
        for j, block in enumerate(blocks):
            _check_block(block, message.role, f"messages.{i}.content.{j}")
        open_calls = [block.id for block in blocks if isinstance(block, ToolUseBlock)]
    if open_calls:
        raise BadRequest("messages: the last tool_use blocks have no tool_result")


def _check_block(block: Any, role: str, path: str) -> None:
    of_the_user = isinstance(block, MediaBlock | ToolResultBlock)
    of_the_model = isinstance(block, ToolUseBlock | ThinkingBlock | RedactedBlock)
    if (of_the_user and role != "user") or (of_the_model and role != "assistant"):
        raise BadRequest(f"{path}: a block of type {block.type} cannot be in a {role} message")
    if isinstance(block, ThinkingBlock) and block.signature != sign(block.thinking):
        raise BadRequest(f"{path}: Invalid `signature` in `thinking` block")
