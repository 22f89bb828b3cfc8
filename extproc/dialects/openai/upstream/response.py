"""A whole ``chat.completion``."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from extproc.conversation.errors import UpstreamError
from extproc.conversation.request import Text, Thinking, ToolCall
from extproc.conversation.response import CUT_SHORT, Candidate, Response, Stop
from extproc.dialects.contract import UpstreamRequest
from extproc.dialects.openai.errors import read_stream_error
from extproc.dialects.openai.passthrough import usage_of
from extproc.dialects.openai.upstream.shapes import (
    DECODER,
    STOPS,
    VENDOR_MEMBERS,
    Call,
    Choice,
    Completion,
    Custom,
    Function,
    Message,
    arguments_text,
    bad_answer,
    broken_call,
    is_object,
    logprobs_of,
    lost_beside,
    made_up_id,
    maybe_text,
    parts_of,
    reasoning_of,
    stop_of,
)

_Blocks = tuple[Text | Thinking | ToolCall, ...]
#: What of a message has no neutral form.
_LOST: Final = ("annotations", "audio")


def read_response(body: bytes, headers: Mapping[str, str], sent: UpstreamRequest) -> Response:
    """The answer in neutral form.

    Raises ``UpstreamError``: 502 for a body that is no answer (an error under a 200 keeps its own status), for a call
    whose arguments are no JSON object though the answer is not cut, and for an answer that the model broke off.
    """
    del headers
    try:
        answer = DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_answer(f"its body cannot be read as a chat completion: {error}") from error
    if answer.error:
        raise UpstreamError(read_stream_error(answer.error))
    choices = sorted((choice for choice in answer.choices or () if choice.message), key=lambda choice: choice.index)
    if not choices:
        raise bad_answer("its body has no choices[].message")
    losses = lost_beside(answer)
    first, *others = (_Reader(answer, choice, sent, losses).candidate() for choice in choices)
    sequence = maybe_text(choices[0].stop_reason)
    return Response(
        blocks=first.blocks,
        stop=Stop.STOP_SEQUENCE if sequence is not None and first.stop is Stop.END else first.stop,
        native_stop=first.native_stop,
        usage=usage_of(answer.usage),
        id=maybe_text(answer.id),
        model=maybe_text(answer.model),
        service_tier=maybe_text(answer.service_tier),
        losses=tuple(losses),
        stop_sequence=sequence,
        explanation=first.explanation,
        logprobs=first.logprobs,
        others=tuple(others),
        vendor=_vendor(answer, choices[0]),
    )


class _Reader:
    """One choice, read."""

    def __init__(self, answer: Completion, choice: Choice, sent: UpstreamRequest, losses: list[str]) -> None:
        self._answer = answer
        self._choice = choice
        self._sent = sent
        self._losses = losses

    def candidate(self) -> Candidate:
        choice = self._choice
        message = choice.message or Message()
        native = choice.finish_reason
        if not native:
            raise bad_answer(f"choices[{choice.index}] has no finish_reason")
        if STOPS.get(native) is Stop.MALFORMED:
            raise bad_answer(f"the model broke off its answer ({native})")
        self._losses += [
            f"choices[{choice.index}].message.{name}" for name in _LOST if getattr(message, name) not in (None, [])
        ]
        calls = self._calls(message)
        refusal = message.refusal or None
        return Candidate(
            choice.index,
            self._blocks(message) + calls,
            stop_of(native, has_calls=bool(calls), refused=refusal is not None),
            native,
            refusal,
            logprobs_of(choice.logprobs) or None,
        )

    def _blocks(self, message: Message) -> _Blocks:
        blocks: list[Text | Thinking | ToolCall] = []
        if reasoning := reasoning_of(message):
            blocks.append(Thinking("", reasoning))
        for thinking, text in parts_of(message.content):
            blocks.append(Thinking("", text) if thinking else Text(text))
        if message.refusal:
            blocks.append(Text(message.refusal, kind="refusal"))
        return tuple(blocks)

    def _calls(self, message: Message) -> _Blocks:
        calls = list(message.tool_calls or ())
        if message.function_call is not None:
            calls.append(Call(function=message.function_call))
        return tuple(self._call(position, call) for position, call in enumerate(calls))

    def _call(self, position: int, call: Call) -> ToolCall:
        call_id = call.id or made_up_id(maybe_text(self._answer.id), 1000 * self._choice.index + position)
        if call.custom is not None:
            return ToolCall("", call_id, self._name(call.custom), call.custom.input or "", kind="custom")
        function = call.function or Function()
        name, arguments = self._name(function), arguments_text(function.arguments)
        if not arguments.strip():
            arguments = "{}"
        if not is_object(arguments) and STOPS.get(self._choice.finish_reason or "") not in CUT_SHORT:
            raise UpstreamError(broken_call(name))
        return ToolCall("", call_id, name, arguments)

    def _name(self, called: Function | Custom) -> str:
        if not called.name:
            raise bad_answer("a call in it names no tool")
        return self._sent.tool_names.get(called.name, called.name)


def _vendor(answer: Completion, choice: Choice) -> Mapping[str, Any] | None:
    members = {name: value for name in VENDOR_MEMBERS if (value := getattr(answer, name)) is not None}
    if choice.content_filter_results is not None:
        members["content_filter_results"] = choice.content_filter_results
    return members or None
