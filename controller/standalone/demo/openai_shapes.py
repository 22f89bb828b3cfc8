"""What OpenAI accepts, as far as a gateway can get it wrong: closed request shapes and the rules between messages.

Fields from the API reference, https://platform.openai.com/docs/api-reference/chat/create (as of 2026-11).
"""

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_NAME = r"^[A-Za-z0-9_-]{1,64}$"
_TOKEN_LIMIT = Annotated[int, Field(ge=1)]


class BadRequest(Exception):
    """A request that OpenAI would refuse with 400."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class Shape(BaseModel):
    """Closed: an unknown member is an error, as it is there."""

    model_config = ConfigDict(extra="forbid", strict=True)


class TextPart(Shape):
    """A piece of text."""

    type: Literal["text"]
    text: str
    prompt_cache_breakpoint: dict[str, Any] | None = None


class ImageUrl(Shape):
    """Where the image is: a URL or the image itself."""

    url: Annotated[str, Field(pattern=r"^(https?:|data:image/)")]
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImagePart(Shape):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl
    prompt_cache_breakpoint: dict[str, Any] | None = None


class OtherPart(Shape):
    """Audio, a file or a refusal: looked at no further."""

    type: Literal["input_audio", "file", "refusal"]
    input_audio: dict[str, Any] | None = None
    file: dict[str, Any] | None = None
    refusal: str | None = None
    prompt_cache_breakpoint: dict[str, Any] | None = None


Part = Annotated[TextPart | ImagePart | OtherPart, Field(discriminator="type")]
Text = str | Annotated[list[TextPart], Field(min_length=1)]


class SystemMessage(Shape):
    """What the developer says."""

    role: Literal["system", "developer"]
    content: Text
    name: str | None = None


class UserMessage(Shape):
    """What the user says."""

    role: Literal["user"]
    content: str | Annotated[list[Part], Field(min_length=1)]
    name: str | None = None


class Function(Shape):
    """A call as the model wrote it; ``arguments`` may be invalid JSON."""

    name: Annotated[str, Field(pattern=_NAME)]
    arguments: str


class ToolCall(Shape):
    """A call of a tool."""

    id: Annotated[str, Field(min_length=1, max_length=64)]
    type: Literal["function"]
    function: Function


class AssistantMessage(Shape):
    """What the model said."""

    role: Literal["assistant"]
    content: str | list[Part] | None = None
    refusal: str | None = None
    tool_calls: Annotated[list[ToolCall], Field(min_length=1)] | None = None
    function_call: Function | None = None
    audio: dict[str, Any] | None = None
    annotations: list[Any] | None = None
    name: str | None = None


class ToolMessage(Shape):
    """What a tool answered."""

    role: Literal["tool"]
    content: Text
    tool_call_id: str


class FunctionMessage(Shape):
    """What a function answered, in the old form."""

    role: Literal["function"]
    content: str | None
    name: str


Message = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage, Field(discriminator="role")
]


class FunctionSpec(Shape):
    """A function the model may call."""

    name: Annotated[str, Field(pattern=_NAME)]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolSpec(Shape):
    """A tool the model may use."""

    type: Literal["function"]
    function: FunctionSpec


class ChoiceName(Shape):
    """The name of a function."""

    name: str


class NamedChoice(Shape):
    """This tool and no other."""

    type: Literal["function"]
    function: ChoiceName


class JsonSchema(Shape):
    """What the answer must be an instance of."""

    name: Annotated[str, Field(pattern=_NAME)]
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Shape):
    """The form of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(Shape):
    """What a stream carries beside the answer."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Chat(Shape):
    """``POST /v1/chat/completions``."""

    model: Annotated[str, Field(min_length=1)]
    messages: Annotated[list[Message], Field(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: _TOKEN_LIMIT | None = None
    max_completion_tokens: _TOKEN_LIMIT | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    n: Literal[1] | None = None
    seed: int | None = None
    tools: Annotated[list[ToolSpec], Field(min_length=1, max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    functions: list[FunctionSpec] | None = None
    function_call: Literal["none", "auto"] | ChoiceName | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    logit_bias: dict[str, int] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    metadata: Annotated[dict[str, str], Field(max_length=16)] | None = None
    modalities: list[Literal["text", "audio"]] | None = None
    audio: dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    safety_identifier: Annotated[str, Field(max_length=128)] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    store: bool | None = None
    user: str | None = None
    web_search_options: dict[str, Any] | None = None


class Completion(Shape):
    """``POST /v1/completions``, the legacy one."""

    model: Annotated[str, Field(min_length=1)]
    prompt: str | list[str]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: _TOKEN_LIMIT | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    stop: str | list[str] | None = None
    n: Literal[1] | None = None
    seed: int | None = None
    user: str | None = None


class Embeddings(Shape):
    """``POST /v1/embeddings``. Input as text or as token ids."""

    model: Annotated[str, Field(min_length=1)]
    input: str | Annotated[list[str] | list[int] | list[list[int]], Field(min_length=1, max_length=2048)]
    dimensions: Annotated[int, Field(ge=1, le=3072)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


class Moderation(Shape):
    """``POST /v1/moderations``."""

    input: str | list[str] | list[dict[str, Any]]
    model: str = "omni-moderation-latest"


class Responses(BaseModel):
    """``POST /v1/responses``: the part that an answer depends on; the rest is not judged."""

    model_config = ConfigDict(strict=True)

    model: Annotated[str, Field(min_length=1)]
    input: str | list[dict[str, Any]]
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: _TOKEN_LIMIT | None = None


_Shape = TypeVar("_Shape", bound=BaseModel)
#: The parts of a pydantic location that name a union's branch and not a member.
_BRANCH = re.compile(r"^(str|int|list\[.*|literal\[.*|.*Message|.*Part|NamedChoice|ChoiceName|constrained-.*)$")
_TAGS = {"system", "developer", "user", "assistant", "tool", "function", "text", "image_url"}


def read(shape: type[_Shape], body: bytes) -> _Shape:
    """The request; raises ``BadRequest`` in OpenAI's words for the first thing that is wrong with it."""
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(error) from None


def _refusal(error: ValidationError) -> BadRequest:
    # The deepest finding is the one inside the union branch that was meant.
    first = max(error.errors(include_url=False, include_input=False), key=lambda found: len(found["loc"]))
    param = _param(first["loc"])
    match first["type"]:
        case "json_invalid":
            return BadRequest("We could not parse the JSON body of your request.")
        case "missing":
            return BadRequest(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")
        case "extra_forbidden":
            return BadRequest(f"Unknown parameter: '{param}'.", param, "unknown_parameter")
        case _:
            return BadRequest(f"Invalid value for '{param}': {first['msg']}.", param, "invalid_value")


def _param(location: tuple[int | str, ...]) -> str:
    text = ""
    for before, key in zip(("", *location), location, strict=False):
        if isinstance(key, int):
            text += f"[{key}]"
        elif not _BRANCH.match(key) and not (isinstance(before, int) and key in _TAGS):
            text += f".{key}" if text else key
    return text


def check_chat(chat: Chat) -> None:
    """The rules between members; raises ``BadRequest``.

    Every tool call is answered before any other role speaks, tool messages answer a call, an assistant says or calls
    something, stream options need a stream, a tool choice needs tools, a schema comes with its type.
    """
    open_calls: set[str] = set()
    for i, message in enumerate(chat.messages):
        if isinstance(message, ToolMessage):
            if message.tool_call_id not in open_calls:
                raise BadRequest(
                    "A tool message must answer one of the tool calls just before it.", f"messages[{i}].role"
                )
            open_calls.discard(message.tool_call_id)
            continue
        _all_answered(open_calls, i)
        if isinstance(message, AssistantMessage):
            open_calls = {call.id for call in message.tool_calls or ()}
            if message.content is None and not (message.tool_calls or message.function_call or message.refusal):
                raise BadRequest("An assistant message without calls needs content.", f"messages[{i}].content")
    _all_answered(open_calls, len(chat.messages))
    _members_agree(chat)


def _members_agree(chat: Chat) -> None:
    if chat.stream_options is not None and not chat.stream:
        raise BadRequest("'stream_options' is only allowed with 'stream'.", "stream_options")
    if not chat.tools and chat.tool_choice is not None:
        raise BadRequest("'tool_choice' is only allowed with 'tools'.", "tool_choice")
    if not chat.tools and chat.parallel_tool_calls is not None:
        raise BadRequest("'parallel_tool_calls' is only allowed with 'tools'.", "parallel_tool_calls")
    wanted = chat.response_format
    if wanted and (wanted.type == "json_schema") != (wanted.json_schema is not None):
        raise BadRequest("'json_schema' belongs to the type of that name.", "response_format.json_schema")


def _all_answered(open_calls: set[str], i: int) -> None:
    if open_calls:
        raise BadRequest(f"No tool message answers these calls: {', '.join(sorted(open_calls))}.", f"messages[{i}]")
