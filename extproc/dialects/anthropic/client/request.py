"""A messages body to the neutral request.

Every field of the API has a row: it is read into the neutral form, or kept as an ``Extra`` (essential: an upstream that
cannot carry it must refuse; listed: dropped and named; harmless: dropped). Facts: anthropic-python 2.12
``types/message_create_params`` and ``types/beta/message_create_params``, read 2026-11-22. ``max_tokens`` may be absent,
as it is when tokens are counted; then the backend's own default holds.
"""

from collections.abc import Mapping
from typing import Any, Final

from extproc.conversation.request import Effort, Extra, Reasoning, Request, Sampling
from extproc.dialects.anthropic.client.blocks import Blocks, read_cache
from extproc.dialects.anthropic.client.messages import History
from extproc.dialects.anthropic.client.tools import ToolReader
from extproc.dialects.anthropic.versions import is_strict
from extproc.dialects.body import parse
from extproc.dialects.fields import Members, missing, wrong_type, wrong_value

_EFFORTS: Final[dict[str, Effort]] = {
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
_MODES: Final[dict[str, Any]] = {word: word for word in ("enabled", "adaptive", "disabled", "between_tools")}
#: Neutral tiers are OpenAI's words.
_TIERS: Final = {"auto": "auto", "standard_only": "default"}
_MIN_BUDGET: Final = 1024
_SAMPLING: Final = ("temperature", "top_p", "top_k")

#: Read into the neutral form, here or in the modules that this one calls.
_NEUTRAL: Final = frozenset(
    {
        "model",
        "messages",
        "max_tokens",
        "system",
        "stop_sequences",
        "stream",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "output_format",
        "cache_control",
        "metadata",
        "service_tier",
        *_SAMPLING,
    }
)
#: Without which the answer would be another one, come from elsewhere, or be billed to somebody else.
_ESSENTIAL: Final = frozenset(
    {
        "mcp_servers",
        "container",
        "fallbacks",
        "fallback_credit_token",
        "thread",
        "compaction",
        "billing_policy",
        "inference_geo",
    }
)
#: Listed when left out; coding agents send them as routine.
_LISTED: Final = frozenset({"context_management", "diagnostics", "speed"})
_EMPTY: Final[tuple[Any, ...]] = ([], {}, "standard")
_TOLD: Final = _ESSENTIAL | _LISTED
_KNOWN: Final = _NEUTRAL | _TOLD


def read_request(body: bytes, headers: Mapping[str, str]) -> Request:
    """The whole request.

    Raises:
        ClientError: 400 with the JSON path of what is missing, of a wrong type, or impossible.
    """
    root = parse(body)
    version = headers.get("anthropic-version")
    strict = is_strict(version)
    extras = list(root.unknown(_KNOWN))
    _read_extras(root, extras)
    blocks = Blocks(extras, strict=strict)
    history = History(blocks, extras)
    model = root.name("model")
    history.read(root, body)
    reader = ToolReader(root, body, extras)
    tools = reader.read_tools()
    stream = root.maybe_boolean("stream") is True
    return Request(
        model=model,
        turns=tuple(history.turns),
        system=blocks.read_texts(root, "system") if root.values.get("system") is not None else (),
        tools=tools,
        tool_choice=reader.read_choice(tools),
        sampling=_sampling(root, strict=strict),
        max_output_tokens=root.maybe_integer("max_tokens", 0),
        stop=_stop(root),
        reasoning=_reasoning(root, extras),
        output_format=reader.read_format(),
        stream=stream,
        include_usage=stream,
        service_tier=root.maybe_word("service_tier", _TIERS),
        user=_user(root, extras),
        extras=tuple(extras),
        cache=read_cache(root),
        api_version=version,
        betas=read_betas(headers),
        stop_path="stop_sequences",
        user_path="metadata.user_id",
    )


def read_betas(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The words of ``anthropic-beta``, each once."""
    words = (word.strip() for word in headers.get("anthropic-beta", "").split(","))
    return tuple(dict.fromkeys(word for word in words if word))


def _sampling(root: Members, *, strict: bool) -> Sampling:
    if strict:
        for name in _SAMPLING:
            if root.values.get(name) is not None:
                raise wrong_value(
                    name, "extra inputs are not permitted from anthropic-version 2026-10-21 on; leave out"
                )
    return Sampling(
        temperature=root.maybe_number("temperature", 0, 1),
        top_p=root.maybe_number("top_p", 0, 1),
        top_k=root.maybe_integer("top_k", 0),
    )


def _stop(root: Members) -> tuple[str, ...]:
    value, path = root.values.get("stop_sequences"), "stop_sequences"
    if value is None:
        return ()
    if not isinstance(value, list):
        raise wrong_type(path, "an array of strings", value)
    for index, word in enumerate(value):
        if not isinstance(word, str):
            raise wrong_type(f"{path}[{index}]", "a string", word)
        if not word.strip():
            raise wrong_value(f"{path}[{index}]", "each stop sequence must contain more than white space")
    return tuple(value)


def _reasoning(root: Members, extras: list[Extra]) -> Reasoning | None:
    """``thinking`` and ``output_config.effort``."""
    config = root.maybe_object("output_config")
    effort = None
    if config is not None:
        effort = config.maybe_word("effort", _EFFORTS)
        if (budget := config.values.get("task_budget")) is not None:
            extras.append(Extra(config.at("task_budget"), budget, essential=True))
        extras.extend(config.unknown(frozenset({"effort", "format", "task_budget"})))
    thinking = root.maybe_object("thinking")
    if thinking is None:
        return None if effort is None else Reasoning(effort, path="output_config.effort")
    extras.extend(thinking.unknown(frozenset({"type", "budget_tokens", "display"})))
    mode = thinking.word("type", _MODES)
    tokens = thinking.maybe_integer("budget_tokens", _MIN_BUDGET)
    if mode == "enabled":
        _check_budget(thinking, tokens, root.maybe_integer("max_tokens", 0))
    return Reasoning(effort, mode, tokens, thinking.maybe_text("display"), path="thinking")


def _check_budget(thinking: Members, tokens: int | None, limit: int | None) -> None:
    path = thinking.at("budget_tokens")
    if tokens is None:
        raise missing(path, "the number of tokens that the model may think")
    if limit is not None and tokens >= limit:
        raise wrong_value(path, "must be less than max_tokens")


def _user(root: Members, extras: list[Extra]) -> str | None:
    metadata = root.maybe_object("metadata")
    if metadata is None:
        return None
    extras.extend(metadata.unknown(frozenset({"user_id"})))
    return metadata.maybe_text("user_id")


def _read_extras(root: Members, extras: list[Extra]) -> None:
    for name, value in root.values.items():
        if value is None or name not in _TOLD:
            continue
        empty = value in _EMPTY
        extras.append(Extra(name, value, essential=name in _ESSENTIAL and not empty, harmless=empty))
