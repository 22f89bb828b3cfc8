"""A chat completions body to the neutral request.

Every field of the API has a row: it is read into the neutral form, or kept as an ``Extra`` (essential: an upstream that
cannot carry it must refuse; listed: dropped and named; harmless: dropped). Facts: openai-python 3.54
``types/chat/completion_create_params``, read 2026-11-22. Limits that only some vendors have are left to them.
"""

from typing import Any, Final

from extproc.conversation.request import Effort, Extra, Reasoning, Request, Sampling
from extproc.dialects.openai.body import parse
from extproc.dialects.openai.fields import Members, missing, unknown_word, wrong_type, wrong_value
from extproc.dialects.openai.messages import History
from extproc.dialects.openai.tools import ToolReader

MAX_MESSAGES: Final = 10_000
"""Of one request. A guess, a multiple of the longest conversations: each message costs as much as 1 kB of text."""

_EFFORTS: Final[dict[str, Effort]] = {
    "none": "none",
    "minimal": "minimal",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
_MODES: Final[dict[str, Any]] = {word: word for word in ("enabled", "adaptive", "disabled", "between_tools")}
_MODALITIES: Final = frozenset({"text", "audio"})
_TEXT_ONLY: Final[tuple[list[str], ...]] = ([], ["text"])
_VERBOSITIES: Final = {word: word for word in ("low", "medium", "high")}

#: Read into the neutral form, here or in the modules that this one calls.
_NEUTRAL: Final = frozenset(
    {
        "model",
        "messages",
        "tools",
        "tool_choice",
        "functions",
        "function_call",
        "parallel_tool_calls",
        "response_format",
        "stream",
        "stream_options",
        "temperature",
        "top_p",
        "top_k",
        "seed",
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
        "n",
        "logprobs",
        "top_logprobs",
        "max_completion_tokens",
        "max_tokens",
        "stop",
        "reasoning_effort",
        "thinking",
        "service_tier",
        "user",
        "safety_identifier",
        "metadata",
    }
)
#: Objects without which the answer would be another one.
_ESSENTIAL_OBJECTS: Final = ("audio", "web_search_options", "moderation")
#: Checked by their type, then listed when left out.
_LISTED_TEXTS: Final = ("prompt_cache_key", "prompt_cache_retention")
_LISTED_OBJECTS: Final = ("prediction", "prompt_cache_options")
_KNOWN: Final = _NEUTRAL.union(_ESSENTIAL_OBJECTS, _LISTED_TEXTS, _LISTED_OBJECTS, ("modalities", "store", "verbosity"))
_STREAM_OPTIONS: Final = frozenset({"include_usage", "include_obfuscation"})


def read_request(body: bytes) -> Request:
    """The whole request.

    Raises:
        ClientError: 400 with the JSON path of what is missing, of a wrong type, or impossible.
    """
    root = parse(body)
    extras = list(root.unknown(_KNOWN))
    _read_extras(root, extras)
    model = root.name("model")
    history = History(extras)
    history.read(_messages(root))
    reader = ToolReader(root, body, extras)
    tools = reader.read_tools()
    limit, limit_path = _output_limit(root, extras)
    stream = root.maybe_boolean("stream") is True
    return Request(
        model=model,
        turns=tuple(history.turns),
        system=tuple(history.system),
        tools=tools,
        tool_choice=reader.read_choice(tools),
        sampling=_sampling(root),
        max_output_tokens=limit,
        max_output_tokens_path=limit_path,
        stop=_stop(root),
        reasoning=_reasoning(root, extras),
        output_format=reader.read_format(),
        stream=stream,
        include_usage=_include_usage(root, extras) and stream,
        service_tier=root.maybe_text("service_tier"),
        user=_user(root, extras),
        metadata=_metadata(root),
        extras=tuple(extras),
    )


def _messages(root: Members) -> list[Members]:
    written = root.values.get("messages")
    if isinstance(written, list) and len(written) > MAX_MESSAGES:
        raise wrong_value("messages", f"holds {len(written)} messages; at most {MAX_MESSAGES} are translated")
    messages = root.objects("messages")
    if not messages:
        if root.values.get("messages") is None:
            raise missing("messages", "an array of messages")
        raise wrong_value("messages", "must hold at least one message")
    return messages


def _output_limit(root: Members, extras: list[Extra]) -> tuple[int | None, str]:
    """``max_completion_tokens``, else its deprecated form."""
    limit, deprecated = root.maybe_integer("max_completion_tokens", 1), root.maybe_integer("max_tokens", 1)
    if limit is None:
        return deprecated, "max_tokens"
    if deprecated is not None:
        extras.append(Extra("max_tokens", deprecated, harmless=limit == deprecated))
    return limit, "max_completion_tokens"


def _sampling(root: Members) -> Sampling:
    return Sampling(
        temperature=root.maybe_number("temperature", 0, 2),
        top_p=root.maybe_number("top_p", 0, 1),
        top_k=root.maybe_integer("top_k", 1),
        seed=root.maybe_integer("seed"),
        frequency_penalty=root.maybe_number("frequency_penalty", -2, 2),
        presence_penalty=root.maybe_number("presence_penalty", -2, 2),
        logit_bias=_logit_bias(root),
        n=root.maybe_integer("n", 1),
        logprobs=root.maybe_boolean("logprobs"),
        top_logprobs=root.maybe_integer("top_logprobs", 0),
    )


def _logit_bias(root: Members) -> dict[str, float] | None:
    biases = root.maybe_object("logit_bias")
    if biases is None:
        return None
    read: dict[str, float] = {}
    for token in biases.values:
        bias = biases.maybe_number(token, -100, 100)
        if bias is None:
            raise wrong_type(biases.at(token), "a number", None)
        read[token] = bias
    return read or None


def _stop(root: Members) -> tuple[str, ...]:
    value = root.values.get("stop")
    if value is None:
        return ()
    if isinstance(value, str):
        return (_stop_word(value, "stop"),)
    if not isinstance(value, list):
        raise wrong_type("stop", "a string or an array of strings", value)
    return tuple(_stop_word(word, f"stop[{index}]") for index, word in enumerate(value))


def _stop_word(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise wrong_type(path, "a string", value)
    if not value:
        raise wrong_value(path, "an empty stop sequence would end every answer at once; leave it out")
    return value


def _reasoning(root: Members, extras: list[Extra]) -> Reasoning | None:
    """``reasoning_effort`` and the common extension ``thinking``, which is Anthropic's object."""
    effort = root.maybe_word("reasoning_effort", _EFFORTS)
    thinking = root.maybe_object("thinking")
    if thinking is None:
        return None if effort is None else Reasoning(effort)
    extras.extend(thinking.unknown(frozenset({"type", "budget_tokens", "display"})))
    mode = thinking.word("type", _MODES)
    budget = thinking.maybe_integer("budget_tokens", 1)
    if mode == "enabled" and budget is None:
        raise missing(thinking.at("budget_tokens"), "the number of tokens that the model may think")
    return Reasoning(effort, mode, budget, thinking.maybe_text("display"), path="thinking")


def _include_usage(root: Members, extras: list[Extra]) -> bool:
    options = root.maybe_object("stream_options")
    if options is None:
        return False
    if options.maybe_boolean("include_obfuscation") is not None:
        path = options.at("include_obfuscation")
        extras.append(Extra(path, options.values["include_obfuscation"], harmless=True))
    extras.extend(options.unknown(_STREAM_OPTIONS))
    return options.maybe_boolean("include_usage") is True


def _user(root: Members, extras: list[Extra]) -> str | None:
    user, safety = root.maybe_text("user"), root.maybe_text("safety_identifier")
    if user is None:
        return safety
    if safety is not None:
        extras.append(Extra("safety_identifier", safety, harmless=safety == user))
    return user


def _metadata(root: Members) -> dict[str, str] | None:
    pairs = root.maybe_object("metadata")
    return None if pairs is None else {name: pairs.text(name) for name in pairs.values}


def _read_extras(root: Members, extras: list[Extra]) -> None:
    for name in _ESSENTIAL_OBJECTS + _LISTED_OBJECTS:
        members = root.maybe_object(name)
        if members is not None:
            extras.append(Extra(name, members.values, essential=name in _ESSENTIAL_OBJECTS))
    for name in _LISTED_TEXTS:
        text = root.maybe_text(name)
        if text is not None:
            extras.append(Extra(name, text))
    if (store := root.maybe_boolean("store")) is not None:
        extras.append(Extra("store", store, harmless=not store))
    if (verbosity := root.maybe_word("verbosity", _VERBOSITIES)) is not None:
        extras.append(Extra("verbosity", verbosity, harmless=verbosity == "medium"))
    _read_modalities(root, extras)


def _read_modalities(root: Members, extras: list[Extra]) -> None:
    value = root.values.get("modalities")
    if value is None:
        return
    if not isinstance(value, list):
        raise wrong_type("modalities", "an array of strings", value)
    for index, word in enumerate(value):
        if not isinstance(word, str):
            raise wrong_type(f"modalities[{index}]", "a string", word)
        if word not in _MODALITIES:
            raise unknown_word(f"modalities[{index}]", word, _MODALITIES)
    extras.append(Extra("modalities", value, essential=value not in _TEXT_ONLY, harmless=value in _TEXT_ONLY))
