"""What the clouds that host Anthropic's API have in common: edits of a Messages body, member by member.

Members that are not edited keep their text, and their order: provider caches and signed thinking go by it.
"""

from typing import Any, Final

import msgspec

from extproc.conversation.errors import ClientError
from extproc.wire import jsontext
from extproc.wire.errors import JsonError

#: The rules of the API before Anthropic's second version, which the clouds' own version words stand for.
_FIRST_VERSION: Final = "2023-06-01"
_DATED: Final = "2026-10-21"


class _Thinking(msgspec.Struct):
    budget_tokens: int = 0


class _Error(msgspec.Struct):
    message: str


class _ErrorBody(msgspec.Struct):
    type: str
    error: _Error


_ERROR_DECODER: Final = msgspec.json.Decoder(_ErrorBody)


class Body:
    """The top-level members of a JSON object. Raises ``ClientError`` when it is none."""

    def __init__(self, body: bytes) -> None:
        try:
            self._members: dict[str, bytes | msgspec.Raw] = dict(jsontext.members(body))
        except JsonError as error:
            raise ClientError(f"the body cannot be read as a JSON object: {error}") from error

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def drop(self, *names: str) -> None:
        """Without these members, where there are any."""
        for name in names:
            self._members.pop(name, None)

    def put(self, name: str, value: Any) -> None:
        """With this member, at the place of the old one or at the end."""
        self._members[name] = msgspec.json.encode(value)

    def put_first(self, name: str, value: Any) -> None:
        """With this member in front of all others."""
        self._members.pop(name, None)
        self._members = {name: msgspec.json.encode(value), **self._members}

    def betas(self) -> list[str]:
        """The body's own list of betas; nothing when it is no such list."""
        return self._read("anthropic_beta", list[str]) or []

    def thinking_budget(self) -> int:
        """``thinking.budget_tokens``, below which no limit may lie; 0 when there is none."""
        thinking = self._read("thinking", _Thinking)
        return max(thinking.budget_tokens, 0) if thinking else 0

    def encode(self) -> bytes:
        """The object again."""
        written = (msgspec.json.encode(name) + b":" + bytes(value) for name, value in self._members.items())
        return b"{" + b",".join(written) + b"}"

    def _read(self, name: str, kind: type[Any]) -> Any:
        try:
            return msgspec.json.decode(bytes(self._members.get(name, b"null")), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None


def api_version(version: str | None) -> str:
    """Anthropic's version whose rules a cloud's own word stands for; dated words are Anthropic's own."""
    return version if version is not None and version[:4].isdigit() and version >= _DATED else _FIRST_VERSION


def is_messages_error(body: bytes) -> bool:
    """Whether an error reply has Anthropic's own form."""
    try:
        return _ERROR_DECODER.decode(body).type == "error"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
