"""The neutral chat request.

Every node that a refusal or a loss may name carries ``path``: the JSON path in the *client's* body
(``messages[2].content[0].image_url``), so that an error names what the caller wrote, whatever the upstream speaks.
"""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

Role = Literal["user", "assistant", "system"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Cache(Struct, frozen=True):
    """A prompt-cache mark after the node that holds it.

    ``ttl`` is the client's word (``5m``, ``1h``, ``30m`` ...) or None.
    """

    ttl: str | None = None


class Citation(Struct, frozen=True):
    """Where a piece of text comes from.

    ``kind`` says what ``start`` and ``end`` count: characters, pages or blocks of document ``document`` (its index
    among the request's documents), blocks of a search result (``url`` is its source, ``document`` its index among
    those), or nothing (``web``). ``token`` is the maker's opaque word for it (Anthropic's ``encrypted_index``).
    """

    kind: Literal["web", "char", "page", "block", "search_result"]
    cited_text: str = ""
    title: str | None = None
    url: str | None = None
    document: int | None = None
    start: int | None = None
    end: int | None = None
    token: str | None = None


class Text(Struct, frozen=True):
    """Text; ``kind`` is ``refusal`` for an assistant's refusal, which most targets can only carry as text."""

    text: str
    path: str = ""
    kind: Literal["text", "refusal"] = "text"
    cache: Cache | None = None
    citations: tuple[Citation, ...] = ()


class Image(Struct, frozen=True):
    """An image: inline (``media_type`` and base64 ``data``), or by ``url``, or by the maker's ``file_id``."""

    path: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    detail: str | None = None
    cache: Cache | None = None


class Audio(Struct, frozen=True):
    """Inline audio: base64 ``data`` in ``format`` (``wav``, ``mp3``)."""

    path: str
    format: str
    data: str


class Document(Struct, frozen=True):
    """A document: inline base64 ``data`` of ``media_type``, plain ``text``, ``blocks``, a ``url``, or a ``file_id``.

    ``filename`` is its name or title; ``citations`` asks the model to cite it.
    """

    path: str
    media_type: str | None = None
    data: str | None = None
    file_id: str | None = None
    filename: str | None = None
    cache: Cache | None = None
    url: str | None = None
    text: str | None = None
    blocks: tuple["Text | Image", ...] | None = None
    context: str | None = None
    citations: bool = False


class SearchResult(Struct, frozen=True):
    """A search result that the caller brings for the model to cite; ``source`` is usually a URL."""

    path: str
    source: str
    title: str
    blocks: tuple[Text, ...]
    citations: bool = False
    cache: Cache | None = None


class ToolCall(Struct, frozen=True):
    """The assistant's call of a tool. ``arguments`` is the verbatim JSON text of an object (number literals kept).

    ``kind`` custom: a tool that takes plain text, and ``arguments`` is that text.
    """

    path: str
    id: str
    name: str
    arguments: str
    cache: Cache | None = None
    kind: Literal["function", "custom"] = "function"


class ToolResult(Struct, frozen=True):
    """What a tool answered. ``call_id`` is the id of the call, as the client wrote it."""

    path: str
    call_id: str
    blocks: tuple["Text | Image | Document | SearchResult", ...] = ()
    is_error: bool = False
    cache: Cache | None = None


class Thinking(Struct, frozen=True):
    """Reasoning that must return to its maker as it was: text with its signature, or ``redacted`` base64.

    ``origin`` says whose it is (see ``conversation.provenance``), None when nobody said. A maker that signs what it
    says or calls, rather than what it thinks (Gemini), has its signature in a block with empty ``text`` before that.
    """

    path: str
    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    origin: str | None = None


Block = Text | Image | Audio | Document | SearchResult | ToolCall | ToolResult | Thinking


class Turn(Struct, frozen=True):
    """One message: ordered blocks. ``role`` system stands only for system messages after the leading run."""

    role: Role
    blocks: tuple[Block, ...]
    path: str


class Tool(Struct, frozen=True):
    """A function the model may call. ``schema`` is the verbatim JSON text of its parameters, None when absent.

    ``kind`` custom: it takes plain text instead, in the form that ``grammar`` (verbatim JSON text) demands, if any.
    """

    path: str
    name: str
    description: str | None = None
    schema: str | None = None
    strict: bool | None = None
    cache: Cache | None = None
    kind: Literal["function", "custom"] = "function"
    grammar: str | None = None


class ToolChoice(Struct, frozen=True):
    """Which tools may or must be called.

    ``kind``: ``auto``, ``none``, ``any`` (at least one), ``named`` (exactly ``name``). ``allowed`` narrows the offered
    tools to these names. ``parallel`` False forbids more than one call a turn; None leaves the target's default.
    """

    kind: Literal["auto", "none", "any", "named"] | None = None
    name: str | None = None
    allowed: tuple[str, ...] | None = None
    parallel: bool | None = None
    path: str = "tool_choice"
    parallel_path: str = "parallel_tool_calls"


class Sampling(Struct, frozen=True):
    """Sampling knobs; None is absent (or null), which is not a value."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: Mapping[str, float] | None = None
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


class Reasoning(Struct, frozen=True):
    """How hard to think: an ``effort`` word, or an explicit ``mode`` with a token ``budget``."""

    effort: Effort | None = None
    mode: Literal["enabled", "adaptive", "disabled", "between_tools"] | None = None
    budget: int | None = None
    display: str | None = None
    path: str = "reasoning_effort"


class OutputFormat(Struct, frozen=True):
    """The demanded shape of the answer; ``schema`` is the verbatim JSON text of the JSON Schema."""

    kind: Literal["json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema: str | None = None
    strict: bool | None = None
    path: str = "response_format"


class Extra(Struct, frozen=True):
    """A field of the client's dialect that has no neutral form.

    ``essential`` is set when leaving it out would change what the answer *is* (audio output, web search): a writer
    that cannot carry it must refuse. Otherwise it is dropped and listed; ``harmless`` ones are dropped without listing.
    """

    path: str
    value: Any
    essential: bool = False
    harmless: bool = False


class Request(Struct, frozen=True):
    """One chat request, neutral. ``model`` is the client's name for the model.

    ``cache`` marks the whole prompt (Anthropic's automatic mark). ``api_version`` and ``betas`` are the client's words
    of its own dialect (``anthropic-version``, ``anthropic-beta``).
    """

    model: str
    turns: tuple[Turn, ...]
    system: tuple[Text, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    sampling: Sampling = Sampling()
    max_output_tokens: int | None = None
    max_output_tokens_path: str = "max_tokens"
    stop: tuple[str, ...] = ()
    reasoning: Reasoning | None = None
    output_format: OutputFormat | None = None
    stream: bool = False
    include_usage: bool = False
    service_tier: str | None = None
    user: str | None = None
    metadata: Mapping[str, str] | None = None
    extras: tuple[Extra, ...] = ()
    cache: Cache | None = None
    api_version: str | None = None
    betas: tuple[str, ...] = ()
    stop_path: str = "stop"
    user_path: str = "user"
