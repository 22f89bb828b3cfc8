"""What Bedrock's Converse accepts, as far as a gateway can get it wrong: closed shapes, limits, rules between messages.

Members, limits and patterns from botocore's service model of ``bedrock-runtime`` (1.44.5) and the API reference,
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html (as of 2026-11).
"""

import json
from base64 import b64encode
from hashlib import sha256
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

ToolName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
ToolUseId = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.:-]{1,64}$")]
NonEmpty = Annotated[str, Field(min_length=1)]


class BadRequest(Exception):
    """A request that Bedrock would answer with a ValidationException."""


class Shape(BaseModel):
    """Closed, camelCase on the wire."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class Union(Shape):
    """A structure of which exactly one member is set."""

    @model_validator(mode="after")
    def _one_member(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"exactly one member must be set, not {len(self.model_fields_set)}")
        return self


class Empty(Shape):
    """A structure without members."""


class CachePoint(Shape):
    """Everything before this is to be cached."""

    type: Literal["default"]
    ttl: Literal["5m", "1h"] | None = None


class Source(Union):
    """The bytes, or where they lie."""

    bytes_: Annotated[Base64Bytes, Field(min_length=1)] | None = Field(default=None, alias="bytes")
    s3_location: dict[str, Any] | None = None


class Image(Shape):
    """An image."""

    format: Literal["png", "jpeg", "gif", "webp"]
    source: Source


class Document(Shape):
    """A document."""

    name: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\w\s()\[\]-]+$")]
    format: Literal["pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"] | None = None
    source: dict[str, Any]
    context: str | None = None
    citations: dict[str, bool] | None = None


class ToolUse(Shape):
    """The model's call of a tool."""

    tool_use_id: ToolUseId
    name: ToolName
    input: dict[str, Any]


class ToolResultContent(Union):
    """A piece of a tool's answer. ``json`` must be an object."""

    text: NonEmpty | None = None
    json_: dict[str, Any] | None = Field(default=None, alias="json")
    image: Image | None = None
    document: Document | None = None


class ToolResult(Shape):
    """A tool's answer."""

    tool_use_id: ToolUseId
    content: Annotated[list[ToolResultContent], Field(min_length=1)]
    status: Literal["success", "error"] | None = None


class ReasoningText(Shape):
    """Thoughts, signed; the signature belongs to exactly this text."""

    text: str
    signature: str | None = None


class Reasoning(Union):
    """Thoughts, readable or not."""

    reasoning_text: ReasoningText | None = None
    redacted_content: Base64Bytes | None = None


class ContentBlock(Union):
    """One block of a message."""

    text: str | None = None
    image: Image | None = None
    document: Document | None = None
    tool_use: ToolUse | None = None
    tool_result: ToolResult | None = None
    reasoning_content: Reasoning | None = None
    cache_point: CachePoint | None = None
    guard_content: dict[str, Any] | None = None


class Message(Shape):
    """One turn."""

    role: Literal["user", "assistant"]
    content: Annotated[list[ContentBlock], Field(min_length=1)]


class SystemBlock(Union):
    """One block of the system prompt."""

    text: NonEmpty | None = None
    cache_point: CachePoint | None = None
    guard_content: dict[str, Any] | None = None


class InferenceConfig(Shape):
    """The knobs."""

    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    stop_sequences: Annotated[list[NonEmpty], Field(max_length=2500)] | None = None


class InputSchema(Shape):
    """A tool's arguments as a JSON schema."""

    json_: dict[str, Any] = Field(alias="json")


class ToolSpec(Shape):
    """A tool the model may use."""

    name: ToolName
    description: NonEmpty | None = None
    input_schema: InputSchema
    strict: bool | None = None


class ToolEntry(Union):
    """A tool or a cache point."""

    tool_spec: ToolSpec | None = None
    cache_point: CachePoint | None = None


class Named(Shape):
    """This tool."""

    name: ToolName


class ToolChoice(Union):
    """Whether the model must use a tool, and which."""

    auto: Empty | None = None
    any: Empty | None = None
    tool: Named | None = None


class ToolConfig(Shape):
    """The tools."""

    tools: Annotated[list[ToolEntry], Field(min_length=1)]
    tool_choice: ToolChoice | None = None


class JsonSchema(Shape):
    """What the answer must be an instance of; the schema is JSON in a string."""

    schema_: str = Field(alias="schema")
    name: str | None = None
    description: str | None = None


class Structure(Union):
    """The forms a text can have."""

    json_schema: JsonSchema | None = None


class TextFormat(Shape):
    """The form of the answer's text."""

    type: Literal["json_schema"]
    structure: Structure


class OutputConfig(Shape):
    """The form of the answer and the effort spent on it."""

    text_format: TextFormat | None = None
    effort: Annotated[str, Field(max_length=16)] | None = None


class Typed(Shape):
    """A service tier."""

    type: Literal["priority", "default", "flex", "reserved"]


class Converse(Shape):
    """``POST /model/{modelId}/converse`` and ``converse-stream``."""

    messages: Annotated[list[Message], Field(min_length=1)]
    system: list[SystemBlock] = Field(default_factory=list)
    inference_config: InferenceConfig | None = None
    tool_config: ToolConfig | None = None
    output_config: OutputConfig | None = None
    guardrail_config: dict[str, Any] | None = None
    additional_model_request_fields: dict[str, Any] = Field(default_factory=dict)
    additional_model_response_field_paths: Annotated[list[str], Field(max_length=10)] = Field(default_factory=list)
    request_metadata: Annotated[dict[str, str], Field(min_length=1, max_length=16)] | None = None
    performance_config: dict[Literal["latency"], Literal["standard", "optimized"]] | None = None
    service_tier: Typed | None = None

    @property
    def specs(self) -> list[ToolSpec]:
        """The tools, less the cache points between them."""
        return [entry.tool_spec for entry in self.tool_config.tools if entry.tool_spec] if self.tool_config else []


class Counted(Shape):
    """What CountTokens counts: the parts of a Converse request that are input."""

    messages: Annotated[list[Message], Field(min_length=1)]
    system: list[SystemBlock] = Field(default_factory=list)
    tool_config: ToolConfig | None = None
    additional_model_request_fields: dict[str, Any] = Field(default_factory=dict)


class CountInput(Union):
    """The request to count, in either form."""

    converse: Counted | None = None
    invoke_model: dict[str, Any] | None = None


class CountTokens(Shape):
    """``POST /model/{modelId}/count-tokens``."""

    input: CountInput


_Asked = TypeVar("_Asked", bound=Shape)


def read(body: bytes) -> Converse:
    """The request, checked; raises ``BadRequest`` for the first thing that the service would refuse."""
    return _checked(_parsed(Converse, body))


def read_counted(body: bytes) -> Converse:
    """The Converse request whose tokens are to be counted, checked; raises ``BadRequest``."""
    counted = _parsed(CountTokens, body).input.converse
    if counted is None:
        raise BadRequest("The demo provider counts Converse requests only.")
    return _checked(Converse.model_construct(**dict(counted)))


def _parsed(shape: type[_Asked], body: bytes) -> _Asked:
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        first = max(error.errors(include_url=False, include_input=False), key=lambda found: len(found["loc"]))
        where = ".".join(map(str, first["loc"])) or "body"
        raise BadRequest(f"The value at {where} is not valid: {first['msg']}.") from None


def _checked(asked: Converse) -> Converse:
    _check_turns(asked)
    _check_tools(asked)
    for message in asked.messages:
        for block in message.content:
            _check_block(block, message.role)
    return asked


def sign(thoughts: str) -> str:
    """The signature of a piece of reasoning: the demo's secret is that there is none."""
    return b64encode(sha256(thoughts.encode()).digest()).decode()


def _check_turns(asked: Converse) -> None:
    for i, message in enumerate(asked.messages):
        if message.role != ("user", "assistant")[i % 2]:
            raise BadRequest(f"messages.{i}: roles must alternate between user and assistant, and a user begins.")


def _check_tools(asked: Converse) -> None:
    known = {spec.name for spec in asked.specs}
    if len(known) != len(asked.specs):
        raise BadRequest("toolConfig.tools: every tool needs a name of its own.")
    choice = asked.tool_config.tool_choice if asked.tool_config else None
    if choice and choice.tool and choice.tool.name not in known:
        raise BadRequest(f"toolConfig.toolChoice.tool.name: there is no tool {choice.tool.name}.")
    open_calls: set[str] = set()
    for i, message in enumerate(asked.messages):
        calls = [block.tool_use.tool_use_id for block in message.content if block.tool_use]
        results = [block.tool_result.tool_use_id for block in message.content if block.tool_result]
        if (calls or results) and asked.tool_config is None:
            raise BadRequest("toolConfig must be present when messages hold toolUse or toolResult blocks.")
        if set(results) != open_calls or len(results) != len(open_calls):
            raise BadRequest(
                f"messages.{i}: the toolResult blocks must answer the toolUse blocks of the turn before, each once."
            )
        if len(set(calls)) != len(calls):
            raise BadRequest(f"messages.{i}: two toolUse blocks share an id.")
        open_calls = set(calls)
    if open_calls:
        raise BadRequest("messages: the last toolUse blocks have no toolResult.")


def _check_block(block: ContentBlock, role: str) -> None:
    if block.text is not None and not block.text.strip():
        raise BadRequest("A text block is blank; text must hold something but white space.")
    if role == "assistant" and (block.image or block.document or block.tool_result):
        raise BadRequest("Images, documents and tool results belong to the user.")
    if role == "user" and (block.tool_use or block.reasoning_content):
        raise BadRequest("Tool use and reasoning belong to the assistant.")
    thoughts = block.reasoning_content.reasoning_text if block.reasoning_content else None
    if thoughts and thoughts.signature != sign(thoughts.text):
        raise BadRequest("The signature of a reasoningText is not that of its text.")


def schema_of(asked: Converse) -> dict[str, Any] | None:
    """What the answer must be an instance of; raises ``BadRequest`` when the string holds no JSON object."""
    wanted = asked.output_config.text_format if asked.output_config else None
    if wanted is None or wanted.structure.json_schema is None:
        return None
    try:
        schema = json.loads(wanted.structure.json_schema.schema_)
    except ValueError:
        schema = None
    if not isinstance(schema, dict):
        raise BadRequest("outputConfig.textFormat.structure.jsonSchema.schema is not a JSON schema in a string.")
    return schema
