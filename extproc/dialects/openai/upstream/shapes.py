"""What an upstream of this API answers, typed as far as we read it; unknown members are ignored.

Servers differ in the small print, so a member that only some of them fill is taken as anything, and read with care.
Sources: openai-python 3.54 ``types/chat`` (2026-11-22); vLLM's ``stop_reason`` and ``reasoning`` (docs.vllm.ai,
reasoning outputs); DeepSeek's ``reasoning_content`` and ``insufficient_system_resource`` (api-docs.deepseek.com);
Mistral's ``model_length`` and content in parts (docs.mistral.ai).
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import msgspec

from extproc.conversation.errors import ApiError, Kind, UpstreamError
from extproc.conversation.response import Stop, TokenLogprob
from extproc.wire import jsontext
from extproc.wire.errors import JsonError

STOPS: Final[Mapping[str, Stop]] = {
    "stop": Stop.END,
    "end_turn": Stop.END,
    "eos": Stop.END,
    "eos_token": Stop.END,
    "stop_sequence": Stop.STOP_SEQUENCE,
    "length": Stop.LENGTH,
    "max_tokens": Stop.LENGTH,
    "model_length": Stop.CONTEXT_FULL,
    "tool_calls": Stop.TOOL_CALLS,
    "function_call": Stop.TOOL_CALLS,
    "content_filter": Stop.FILTERED,
    "error": Stop.MALFORMED,
    "abort": Stop.MALFORMED,
    "insufficient_system_resource": Stop.MALFORMED,
}
#: Stops that stay what they are beside calls: the answer is cut, filtered or broken.
_BEYOND_CALLS: Final = frozenset({Stop.LENGTH, Stop.CONTEXT_FULL, Stop.FILTERED, Stop.MALFORMED})
#: Counts of output that only this API splits off.
_LOST_COUNTS: Final = ("audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens")
#: Members beside the answer that go on to the client under their own name: Azure's content filter.
VENDOR_MEMBERS: Final = ("prompt_filter_results", "prompt_annotations")


class Function(msgspec.Struct, gc=False):
    """Name and arguments of a call, whole or a fragment."""

    name: str | None = None
    arguments: Any = None


class Custom(msgspec.Struct, gc=False):
    """Name and text of a custom tool's call, whole or a fragment."""

    name: str | None = None
    input: str | None = None


class Call(msgspec.Struct, gc=False):
    """A call, or a fragment of one in a stream, where ``index`` tells calls apart."""

    index: Any = None
    id: str | None = None
    function: Function | None = None
    custom: Custom | None = None


class Message(msgspec.Struct, gc=False):
    """A message, or in a stream more of one."""

    content: Any = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None
    function_call: Function | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    annotations: list[Any] | None = None
    audio: Any = None


class Choice(msgspec.Struct, gc=False):
    """One of the answers. In a stream ``delta`` may be missing: Azure's filter results come without."""

    index: int = 0
    message: Message | None = None
    delta: Message | None = None
    finish_reason: str | None = None
    #: vLLM: the stop sequence that was met, or the id of a token.
    stop_reason: Any = None
    logprobs: Any = None
    content_filter_results: Any = None


class Completion(msgspec.Struct, gc=False):
    """A ``chat.completion`` or a ``chat.completion.chunk``."""

    choices: list[Choice] | None = None
    id: Any = None
    model: Any = None
    object: Any = None
    usage: Any = None
    service_tier: Any = None
    error: Any = None
    prompt_filter_results: Any = None
    prompt_annotations: Any = None
    moderation: Any = None


#: Beyond any logarithm of a probability, and within what a float holds.
_LOGPROBS: Final = 2**53
DECODER: Final = msgspec.json.Decoder(Completion)


def bad_answer(problem: str) -> UpstreamError:
    """The upstream said 200, but ``problem``."""
    return UpstreamError(ApiError(502, Kind.SERVER, f"the upstream answered 200, but {problem}"))


def broken_call(name: str) -> ApiError:
    """A call whose arguments cannot be passed on: with others in their place the tool would do something else."""
    message = f"the model called {name[:64]!r} with arguments that are not a JSON object; send the request again"
    return ApiError(502, Kind.SERVER, message, vendor=True)  # the name is the client's, and not for a log


def stop_of(native: str, *, has_calls: bool, refused: bool) -> Stop:
    """Why the model stopped: calls and a refusal decide, as servers say ``stop`` for both."""
    stop = STOPS.get(native, Stop.UNKNOWN)
    if stop in _BEYOND_CALLS:
        return stop
    if has_calls:
        return Stop.TOOL_CALLS
    return Stop.REFUSAL if refused else stop


def is_object(arguments: str) -> bool:
    """Whether the text is a whole JSON object."""
    try:
        jsontext.check_object(arguments.encode())
    except (JsonError, UnicodeError):
        return False
    return True


def lost_beside(answer: Completion) -> list[str]:
    """What stands beside the choices and has no neutral form. See docs/dialects/answers.md for what needs none."""
    lost = ["moderation"] if answer.moderation else []
    usage = answer.usage if isinstance(answer.usage, dict) else {}
    details = usage.get("completion_tokens_details")
    counts = details if isinstance(details, dict) else {}
    return lost + [f"usage.completion_tokens_details.{name}" for name in _LOST_COUNTS if counts.get(name)]


def maybe_text(value: Any) -> str | None:
    """The value if it is a string that is not empty."""
    return value if isinstance(value, str) and value else None


def made_up_id(answer_id: str | None, position: int) -> str:
    """An id for a call that came without one, unique as far as the answer's own id is."""
    return "call_" + sha256(f"{answer_id} {position}".encode()).hexdigest()[:24]


def arguments_text(arguments: Any) -> str:
    """The JSON text of arguments; some servers send the object itself."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()


def reasoning_of(message: Message) -> str:
    """The reasoning that a server shows. One that shows it under both names shows the same."""
    if message.reasoning_content:
        return message.reasoning_content
    return message.reasoning if isinstance(message.reasoning, str) else ""


def parts_of(content: Any) -> list[tuple[bool, str]]:
    """The content in pieces, each with whether it is reasoning: a string is one piece, Mistral sends parts."""
    if isinstance(content, str):
        return [(False, content)] if content else []
    if not isinstance(content, list):
        return []
    found: list[tuple[bool, str]] = []
    for part in content:
        if isinstance(part, dict):
            thinking = part.get("type") == "thinking"
            text = part.get("thinking" if thinking else "text")
            if isinstance(text, list):
                text = "".join(piece["text"] for piece in text if isinstance(piece, dict) and _has_text(piece))
            if isinstance(text, str) and text:
                found.append((thinking, text))
    return found


def logprobs_of(logprobs: Any) -> tuple[TokenLogprob, ...]:
    """The probabilities of the tokens of the text, empty when there are none."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list):
        return ()
    return tuple(entry for value in content if (entry := _maybe_entry(value, top=True)) is not None)


def _has_text(piece: dict[str, Any]) -> bool:
    return isinstance(piece.get("text"), str)


def _maybe_entry(value: Any, *, top: bool) -> TokenLogprob | None:
    if not isinstance(value, dict):
        return None
    token, logprob, data, others = (value.get(name) for name in ("token", "logprob", "bytes", "top_logprobs"))
    if not isinstance(token, str) or not isinstance(logprob, int | float) or abs(logprob) > _LOGPROBS:
        return None
    listed = tuple(data) if isinstance(data, list) and all(isinstance(byte, int) for byte in data) else None
    entries = [_maybe_entry(other, top=False) for other in others] if top and isinstance(others, list) else []
    return TokenLogprob(token, float(logprob), listed, tuple(entry for entry in entries if entry is not None))
