"""``messages``: every role, in order, each message its own turn.

Rules of the API, checked here where the caller's own path can be named:

1. The results of all calls of an assistant's messages stand in the user messages right after them, each once. Where in
   these they stand is left to the writers: each target has its own order.
2. A message of role ``system`` holds text, and is not the first.

The order of roles is not checked: the API merges neighbours of one role. Facts: anthropic-python 2.12
``types/message_param`` and ``types/system_message_param``, read 2026-11-22.
"""

from typing import Final

import msgspec

from extproc.conversation.request import Extra, Role, ToolCall, ToolResult, Turn
from extproc.dialects.anthropic.client.blocks import Blocks
from extproc.dialects.fields import Members, missing, wrong_value

MAX_MESSAGES: Final = 10_000
"""Of one request. A guess, a multiple of the longest conversations: each message costs as much as 1 kB of text."""

_ROLES: Final[dict[str, Role]] = {"user": "user", "assistant": "assistant", "system": "system"}
_MEMBERS: Final = frozenset({"role", "content"})
#: What Anthropic's beta hangs on system messages: they change tools or the effort from there on.
_SYSTEM_ESSENTIALS: Final = ("clear_at", "output_config")
#: How many unanswered calls an error names, and how much of an id it repeats.
_MAX_NAMED_IDS: Final = 5
_MAX_ID: Final = 64


class _Message(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw()


class _Body(msgspec.Struct):
    messages: list[_Message] = []


_body: Final = msgspec.json.Decoder(_Body)


class History:
    """The turns read so far, and the calls that wait for their results."""

    def __init__(self, blocks: Blocks, extras: list[Extra]) -> None:
        self.turns: list[Turn] = []
        self._blocks = blocks
        self._extras = extras
        #: Calls that wait for their results: id -> path.
        self._open: dict[str, str] = {}
        self._answered: set[str] = set()

    def read(self, root: Members, body: bytes) -> None:
        """All messages of a request, whose text is ``body``. Raises ``ClientError``."""
        written = root.values.get("messages")
        if isinstance(written, list) and len(written) > MAX_MESSAGES:
            raise wrong_value("messages", f"holds {len(written)} messages; at most {MAX_MESSAGES} are translated")
        messages = root.objects("messages")
        if not messages:
            if written is None:
                raise missing("messages", "an array of messages")
            raise wrong_value("messages", "must hold at least one message")
        raws = _body.decode(body).messages if any(map(_has_calls, messages)) else ()
        for position, message in enumerate(messages):
            raw = raws[position].content if raws and _has_calls(message) else None
            self._read_message(message, raw)
        self._require_answers()

    def _read_message(self, message: Members, raw: msgspec.Raw | None) -> None:
        role = message.word("role", _ROLES)
        if role == "system":
            self._read_system(message)
            return
        self._extras.extend(message.unknown(_MEMBERS))
        blocks = self._blocks.read_message(message, raw)
        if role == "assistant" and (not self.turns or self.turns[-1].role != "assistant"):
            self._require_answers()
            self._answered = set()
        for block in blocks:
            if isinstance(block, ToolCall):
                self._call(block)
            elif isinstance(block, ToolResult):
                self._answer(block)
        self.turns.append(Turn(role, blocks, message.path))

    def _read_system(self, message: Members) -> None:
        if not self.turns:
            raise wrong_value(message.at("role"), "a system message cannot be the first; use the system field")
        for name in _SYSTEM_ESSENTIALS:
            if message.values.get(name) is not None:
                self._extras.append(Extra(message.at(name), message.values[name], essential=True))
        self._extras.extend(message.unknown(_MEMBERS.union(_SYSTEM_ESSENTIALS)))
        self.turns.append(Turn("system", self._blocks.read_texts(message, "content"), message.path))

    def _call(self, call: ToolCall) -> None:
        if call.id in self._open:
            raise wrong_value(f"{call.path}.id", "another call of the same turn has this id; ids must be unique")
        self._open[call.id] = call.path

    def _answer(self, result: ToolResult) -> None:
        path = f"{result.path}.tool_use_id"
        if result.call_id in self._answered:
            raise wrong_value(path, "answers a call that an earlier block has answered")
        if result.call_id not in self._open:
            still = f"still open: {self._open_ids()}" if self._open else "none is open"
            raise wrong_value(path, f"answers no tool_use of the preceding assistant message; {still}")
        del self._open[result.call_id]
        self._answered.add(result.call_id)

    def _require_answers(self) -> None:
        if self._open:
            path = next(iter(self._open.values()))
            reason = "every tool_use needs a tool_result in the next user message; still open: "
            raise wrong_value(path, reason + self._open_ids())

    def _open_ids(self) -> str:
        ids = [repr(call_id[:_MAX_ID]) for call_id in self._open]
        return ", ".join(ids[:_MAX_NAMED_IDS]) + (", ..." if len(ids) > _MAX_NAMED_IDS else "")


def _has_calls(message: Members) -> bool:
    content = message.values.get("content")
    return isinstance(content, list) and any(isinstance(b, dict) and b.get("type") == "tool_use" for b in content)
