"""What the gateway does to OpenAI bodies that stay OpenAI: edits in place, and reading usage.

Every byte that is not edited stays as it was: number literals, key order, unknown fields, white space.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from extproc.conversation.response import NO_USAGE, Usage, maybe_count
from extproc.dialects.openai.body import invalid_json
from extproc.dialects.openai.uncarried import MARK, without_carriers
from extproc.wire import jsontext
from extproc.wire.errors import JsonError, JsonShapeError

_WITH_USAGE: Final = b'{"include_usage":true}'


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Asking(msgspec.Struct):
    stream_options: _StreamOptions | None = None


class _Options(msgspec.Struct):
    include_usage: msgspec.Raw = msgspec.Raw()


class _Editable(msgspec.Struct):
    model: msgspec.Raw = msgspec.Raw()
    stream_options: msgspec.Raw = msgspec.Raw()


class _Answer(msgspec.Struct):
    usage: Any = None
    model: Any = None


class _OddAnswer(msgspec.Struct):
    usage: msgspec.Raw = msgspec.Raw()
    model: msgspec.Raw = msgspec.Raw()


_asking: Final = msgspec.json.Decoder(_Asking)
_editable: Final = msgspec.json.Decoder(_Editable)
_options: Final = msgspec.json.Decoder(_Options)
_odd_answer: Final = msgspec.json.Decoder(_OddAnswer)
_answer: Final = msgspec.json.Decoder(_Answer)


def edit(body: bytes, *, model: str | None, include_usage: bool) -> bytes:
    """``body`` with another model, with usage asked for, and without other makers' reasoning; else the same object.

    ``include_usage`` is for bodies with ``stream: true``: OpenAI refuses ``stream_options`` elsewhere. Options of a
    wrong type are left for the upstream to refuse.

    Raises:
        ClientError: the body is no JSON object, and would have been edited.
    """
    if model is None and not include_usage and MARK not in body:
        return body
    try:
        known = jsontext.peek(body, _editable)
        if model is not None and maybe_value(known.model) != model:
            body = _with_member(body, "model", bytes(known.model), msgspec.json.encode(model))
        if include_usage:
            body = _with_usage(body, bytes(known.stream_options))
        if MARK in body:
            body = without_carriers(body)
    except JsonError as error:
        raise invalid_json(error) from error
    return body


def asks_usage(body: bytes) -> bool:
    """Whether the client itself asked for usage in its stream; False for a body that cannot be read."""
    try:
        options = jsontext.peek(body, _asking).stream_options
    except JsonError:
        return False
    return options is not None and options.include_usage is True


def read_usage(body: bytes) -> tuple[Usage, str | None]:
    """Usage and model of a whole answer of any OpenAI endpoint; nothing known of anything else."""
    try:
        answer = _answer.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_odd(body)
    model = answer.model
    return usage_of(answer.usage), model if isinstance(model, str) and model else None


def _read_odd(body: bytes) -> tuple[Usage, str | None]:
    """One of the two may be beyond what can be held, and the other is known all the same."""
    try:
        answer = _odd_answer.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NO_USAGE, None
    return usage_of(maybe_value(answer.usage)), maybe_text(answer.model)


def maybe_value(raw: msgspec.Raw) -> Any:
    """The value of a slice, None when it is absent or cannot be held."""
    text = bytes(raw)
    if not text:
        return None
    try:
        return jsontext.parse(text)
    except JsonError:
        return None


def maybe_text(raw: msgspec.Raw) -> str | None:
    """The slice's value if it is a string that is not empty."""
    value = maybe_value(raw)
    return value if isinstance(value, str) and value else None


def usage_of(value: Any) -> Usage:
    """A ``usage`` object in the words of either API; a count that cannot be one is not known."""
    if not isinstance(value, dict):
        return NO_USAGE
    prompt = value.get("prompt_tokens_details", value.get("input_tokens_details"))
    completion = value.get("completion_tokens_details", value.get("output_tokens_details"))
    cached = written = modalities = None
    if isinstance(prompt, dict):
        cached = _maybe_count(prompt, "cached_tokens")
        written = _maybe_count(prompt, "cache_write_tokens", "cache_creation_tokens")
        modalities = _modalities(prompt)
    return Usage(
        input_tokens=_maybe_count(value, "prompt_tokens", "input_tokens"),
        output_tokens=_maybe_count(value, "completion_tokens", "output_tokens"),
        total_tokens=_maybe_count(value, "total_tokens"),
        # DeepSeek's word stands beside the prompt's count.
        cached_input_tokens=cached if cached is not None else _maybe_count(value, "prompt_cache_hit_tokens"),
        cache_write_tokens=written,
        reasoning_tokens=_maybe_count(completion, "reasoning_tokens") if isinstance(completion, dict) else None,
        modalities=modalities,
    )


def _modalities(prompt: Mapping[str, Any]) -> dict[str, int] | None:
    counts = {kind: maybe_count(prompt.get(f"{kind}_tokens")) for kind in ("text", "image", "audio")}
    return {kind: count for kind, count in counts.items() if count} or None


def _maybe_count(counts: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        if name in counts and (count := maybe_count(counts[name])) is not None:
            return count
    return None


def _with_member(body: bytes, key: str, old_value: bytes, value: bytes) -> bytes:
    if not old_value:
        return jsontext.insert_member(body, key, value)
    return jsontext.replace_member(body, key, value)


def _with_usage(body: bytes, options: bytes) -> bytes:
    """``options`` is the text of ``stream_options``, empty when it is absent."""
    if options in (b"", b"null"):
        return _with_member(body, "stream_options", options, _WITH_USAGE)
    try:
        old_value = bytes(jsontext.peek(options, _options).include_usage)
    except JsonShapeError:
        return body
    if old_value not in (b"", b"null", b"false"):
        return body
    return jsontext.replace_member(body, "stream_options", _with_member(options, "include_usage", old_value, b"true"))
