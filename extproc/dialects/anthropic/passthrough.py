"""What the gateway does to Messages bodies that stay Messages: edits in place, and reading usage.

Every byte that is not edited stays as it was: number literals, key order, unknown fields, white space. Only a
conversation that holds reasoning with the gateway's mark (of another maker, or told through another dialect) is written
again where these blocks stand: the upstream could not check them.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from extproc.conversation.errors import Loss
from extproc.conversation.provenance import ANOTHERS, is_marked, origin_of, unmarked
from extproc.conversation.response import NO_USAGE, Usage
from extproc.dialects.anthropic.models import capabilities_of
from extproc.dialects.anthropic.usage import read_counts
from extproc.dialects.body import invalid_json
from extproc.wire import jsontext
from extproc.wire.errors import JsonError

#: How a marked signature begins; no body without it holds one.
_MARK: Final = b"llmr1."
_UNMARKED_ORIGIN: Final = "anthropic"
_OFF: Final = b'{"type":"disabled"}'
_LOST_THINKING: Final = "the turn that called the tools has lost its thinking block; it goes on without thinking"
_MEMBER_BY_TYPE: Final = {"thinking": "signature", "redacted_thinking": "data"}


class _Model(msgspec.Struct):
    model: str | None = None


class _Answer(msgspec.Struct):
    usage: Any = None
    model: Any = None


class _Conversation(msgspec.Struct):
    messages: list[msgspec.Raw] = []


class _Message(msgspec.Struct):
    role: str = ""
    content: msgspec.Raw = msgspec.Raw()


class _Block(msgspec.Struct):
    type: str = ""
    signature: str = ""
    data: str = ""


class _Thinking(msgspec.Struct):
    thinking: Any = None


_thinking: Final = msgspec.json.Decoder(_Thinking)
_model: Final = msgspec.json.Decoder(_Model)
_answer: Final = msgspec.json.Decoder(_Answer)
_conversation: Final = msgspec.json.Decoder(_Conversation)
_message: Final = msgspec.json.Decoder(_Message)
_block: Final = msgspec.json.Decoder(_Block)
_array: Final = msgspec.json.Decoder(list[msgspec.Raw])


def edit(body: bytes, *, model: str | None) -> bytes:
    """``body`` with another model, and without reasoning that its upstream has not made; else the same object.

    Raises:
        ClientError: the body is no JSON object, and would have been edited.
    """
    if model is None and _MARK not in body:
        return body
    try:
        named = jsontext.peek(body, _model).model
        if model is not None and named != model:
            body = _with_model(body, model)
        if _MARK in body:
            body = _with_own_thinking(body, model or named or "")
    except JsonError as error:
        raise invalid_json(error) from error
    return body


def edit_losses(body: bytes, *, model: str | None) -> tuple[Loss, ...]:
    """What ``edit`` takes out: the first block of reasoning, which stands for all of it, and manual thinking."""
    if _MARK not in body:
        return ()
    try:
        named = jsontext.peek(body, _model).model
    except JsonError:
        return ()
    contents, keep = _read_contents(body, model or named or "")
    if keep:
        return ()
    first = next(f"messages[{i}].content[{content.first}]" for i, content in enumerate(contents) if content.first >= 0)
    lost = Loss(first, "drop", ANOTHERS)
    return (lost, Loss("thinking", "drop", _LOST_THINKING)) if _thinks_without(body, contents) else (lost,)


def read_usage(body: bytes) -> tuple[Usage, str | None]:
    """Usage and model of a whole message; nothing known of anything else."""
    try:
        answer = _answer.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NO_USAGE, None
    model = answer.model if isinstance(answer.model, str) and answer.model else None
    return read_counts(answer.usage).neutral(), model


def _with_model(body: bytes, model: str) -> bytes:
    written = msgspec.json.encode(model)
    if jsontext.member_span(body, "model") is None:
        return jsontext.insert_member(body, "model", written)
    return jsontext.replace_member(body, "model", written)


def _with_own_thinking(body: bytes, model: str) -> bytes:
    """The body with the marks taken off; if one of them names another origin, without any reasoning.

    A body that is no conversation is left for the upstream to refuse.
    """
    contents, keep = _read_contents(body, model)
    if not contents:
        return body
    if not keep and _thinks_without(body, contents):
        body = jsontext.replace_member(body, "thinking", _OFF)
    edited = [content.edited(keep=keep) for content in contents]
    return jsontext.replace_member(body, "messages", b"[" + b",".join(text for text in edited if text) + b"]")


def _read_contents(body: bytes, model: str) -> "tuple[list[_Content], bool]":
    """The messages, and whether reasoning in them stays; none when no mark is in them or they cannot be read."""
    try:
        contents = [_Content(message) for message in _conversation.decode(body).messages]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [], True
    marks = [mark for content in contents for mark in content.marks]
    if not marks:
        return [], True
    own = {_UNMARKED_ORIGIN, origin_of(capabilities_of(model), model)}
    return contents, all(unmarked(mark, None)[1] in own and unmarked(mark, None)[0] for mark in marks)


def _thinks_without(body: bytes, contents: "Sequence[_Content]") -> bool:
    """Whether manual thinking is asked for inside a tool loop, whose calls must then begin with their thinking.

    Without it the API answers 400, "Expected `thinking` or `redacted_thinking`, but found `tool_use`"
    (RooCodeInc/Roo-Code #11238, BerriAI/litellm #25375).
    """
    last = next((content for content in reversed(contents) if content.answers), None)
    if last is None or not last.calls:
        return False
    try:
        asked = jsontext.peek(body, _thinking).thinking
    except JsonError:
        return False
    return isinstance(asked, dict) and asked.get("type") == "enabled"


class _Content:
    """One message: its text, and the reasoning in it."""

    def __init__(self, message: msgspec.Raw) -> None:
        self._text = bytes(message)
        known = _message.decode(message)
        self.answers = known.role == "assistant"
        listed = self.answers and bytes(known.content).startswith(b"[")
        self._entries = _array.decode(known.content) if listed else []
        #: The signature or data of each block of reasoning, None for other blocks.
        self._signatures = [_maybe_signature(entry) for entry in self._entries]
        self.marks = [text for text in self._signatures if text is not None and is_marked(text)]

    @property
    def calls(self) -> bool:
        """Whether tools are called in it."""
        return any(_block.decode(entry).type == "tool_use" for entry in self._entries)

    @property
    def first(self) -> int:
        """Where its first block of reasoning stands, -1 when it has none."""
        return next((i for i, text in enumerate(self._signatures) if text is not None), -1)

    def edited(self, *, keep: bool) -> bytes:
        """The message without marks, or without reasoning; empty when nothing is left of it."""
        if not (self.marks if keep else any(text is not None for text in self._signatures)):
            return self._text
        told = [
            bytes(entry) if signature is None else _without_mark(bytes(entry), signature)
            for entry, signature in zip(self._entries, self._signatures, strict=True)
            if keep or signature is None
        ]
        return jsontext.replace_member(self._text, "content", b"[" + b",".join(told) + b"]") if told else b""


def _maybe_signature(entry: msgspec.Raw) -> str | None:
    block = _block.decode(entry)
    member = _MEMBER_BY_TYPE.get(block.type)
    return None if member is None else block.signature if member == "signature" else block.data


def _without_mark(entry: bytes, signature: str) -> bytes:
    plain, _ = unmarked(signature, None)
    if plain == signature:
        return entry
    member = _MEMBER_BY_TYPE[_block.decode(entry).type]
    return jsontext.replace_member(entry, member, msgspec.json.encode(plain))
