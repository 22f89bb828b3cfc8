"""A Messages body of one ``anthropic-version`` at a backend that is asked by another.

Version 2026-10-21 refuses what the one before took: temperature, top_p and top_k, documents in assistant messages, and
citations on user text (platform.claude.com/docs/en/api/migration-2026-10-21, read 2026-11-22). Who names that version
is refused as the vendor would, also where the backend is asked by an older one; an older client's sampling values are
cut out for a newer backend, and the rest is refused: left out, it would change what was said.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from extproc.conversation.errors import ClientError, Loss, Refusal
from extproc.dialects.anthropic.versions import is_strict
from extproc.platforms.anthropic_body import Body
from extproc.wire import jsontext
from extproc.wire.errors import JsonError

_SAMPLING: Final = ("temperature", "top_p", "top_k")
#: A body without these words has nothing that the versions differ in.
_WORDS: Final = tuple(f'"{word}"'.encode() for word in (*_SAMPLING, "document", "citations"))
_NOT_FROM: Final = "from anthropic-version 2026-10-21 on"
_DOCUMENT: Final = f"a document cannot stand in an assistant message {_NOT_FROM}; move it to a user message"
_CITATIONS: Final = f"stands only on the assistant's text {_NOT_FROM}; leave it out"


class _Sampling(msgspec.Struct):
    temperature: msgspec.Raw = msgspec.Raw()
    top_p: msgspec.Raw = msgspec.Raw()
    top_k: msgspec.Raw = msgspec.Raw()


class _Block(msgspec.Struct):
    type: str = ""
    citations: Any = None


class _Message(msgspec.Struct):
    role: str = ""
    content: list[_Block] | str = ""


class _Conversation(msgspec.Struct):
    messages: list[_Message] = []


_sampling: Final = msgspec.json.Decoder(_Sampling)
_conversation: Final = msgspec.json.Decoder(_Conversation)


def fitted(body: bytes, spoken: str | None, wanted: str) -> tuple[bytes, tuple[Loss, ...]]:
    """``body`` of a client that speaks ``spoken``, for a backend that is asked by ``wanted``; no edit: the same object.

    Raises:
        ClientError: the client's own version does not take a member, or the backend's does not (``Refusal``).
    """
    newer = is_strict(wanted)
    if is_strict(spoken) == newer or not any(word in body for word in _WORDS):
        return body, ()
    for path, reason in _misplaced(body):
        raise Refusal(path, reason) if newer else ClientError(f"{path}: {reason}", param=path, code="invalid_value")
    said = _said(body)
    if not said:
        return body, ()
    if not newer:
        reason = f"{said[0]}: extra inputs are not permitted {_NOT_FROM}; leave out"
        raise ClientError(reason, param=said[0], code="invalid_value")
    members = Body(body)
    members.drop(*_SAMPLING)
    reason = f"the backend's anthropic-version takes no sampling values; the model uses its own {_NOT_FROM}"
    return members.encode(), tuple(Loss(name, "drop", reason) for name in said)


def _said(body: bytes) -> list[str]:
    """The sampling values that the body has; a body that cannot be read is the upstream's to refuse."""
    try:
        values = jsontext.peek(body, _sampling)
    except JsonError:
        return []
    return [name for name in _SAMPLING if bytes(getattr(values, name)) not in {b"", b"null"}]


def _misplaced(body: bytes) -> Iterator[tuple[str, str]]:
    """The paths of what the newer version refuses among the messages, and why."""
    try:
        messages = jsontext.peek(body, _conversation).messages
    except JsonError:
        return
    for at, message in enumerate(messages):
        for position, block in enumerate(message.content if isinstance(message.content, list) else ()):
            path = f"messages[{at}].content[{position}]"
            if message.role == "assistant" and block.type == "document":
                yield path, _DOCUMENT
            elif message.role == "user" and block.type == "text" and block.citations:
                yield f"{path}.citations", _CITATIONS
