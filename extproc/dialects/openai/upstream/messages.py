"""Turns to ``messages``.

1. The system text is the first message; a later system turn is a message in its place.
2. The results of an assistant's calls follow it as ``tool`` messages, before anything else that the user said, in the
   order in which they stand; every call has one, and each result its call. All of that is a 400 at every server.
3. A ``tool`` message holds text alone. What else a tool answered stands in the user message after it, under a line that
   names the call.
4. A message depends on the turns up to the next of another role only: a longer conversation begins with the same bytes.

Text of an assistant after its calls loses its place: the format keeps the two apart.
"""

from collections.abc import Sequence
from typing import Any, Final, assert_never

from msgspec.structs import replace

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Loss, Refusal
from extproc.conversation.request import (
    Audio,
    Block,
    Document,
    Image,
    Request,
    SearchResult,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from extproc.dialects.openai.upstream.names import upstream_id
from extproc.dialects.openai.upstream.parts import CacheMarks, PartWriter, text_part
from extproc.dialects.openai.upstream.tools import write_call

ERROR: Final = "Error: "
"""What the result of a failed call begins with: the format has no mark for it."""

_Messages = list[dict[str, Any]]


def write_messages(
    request: Request, capabilities: Capabilities, losses: list[Loss], *, fetches_urls: bool
) -> _Messages:
    """``messages``; raises ``Refusal`` for conversations and content that the format cannot carry."""
    writer = _Writer(capabilities, losses, fetches_urls=fetches_urls)
    writer.system(request.system)
    turns = request.turns
    position = 0
    while position < len(turns):
        end = position + 1
        if turns[position].role == "user":
            while end < len(turns) and turns[end].role == "user":
                end += 1
        writer.add(turns[position:end])
        position = end
    return writer.finished(turns)


class _Writer:
    """The messages so far."""

    def __init__(self, capabilities: Capabilities, losses: list[Loss], *, fetches_urls: bool) -> None:
        self._capabilities = capabilities
        self._losses = losses
        self._marks = CacheMarks(capabilities)
        self._parts = PartWriter(self._marks, losses, fetches_urls=fetches_urls)
        self._system_role = "developer" if capabilities.developer_role else "system"
        self._messages: _Messages = []
        #: Calls of the last assistant message that wait for their results: id -> path.
        self._open: dict[str, str] = {}

    def system(self, texts: Sequence[Text]) -> None:
        parts = [self._parts.text(text) for text in texts if text.text.strip()]
        if parts:
            self._say(self._system_role, parts)

    def add(self, turns: Sequence[Turn]) -> None:
        """The next turn, or all turns of the user up to the next of another role."""
        if turns[0].role == "user":
            self._user(turns)
            return
        self._refuse_open()
        [turn] = turns
        if turn.role == "assistant":
            self._assistant(turn)
        else:
            self._late_system(turn)

    def finished(self, turns: Sequence[Turn]) -> _Messages:
        """All messages, when the conversation is one that can be answered."""
        self._refuse_open()
        if not turns:
            raise Refusal("messages", "the upstream wants at least one message")
        if turns[-1].role == "assistant" and not self._capabilities.prefill:
            reason = "the upstream does not go on from the beginning of an answer; leave the last message out"
            raise Refusal(turns[-1].path, reason)
        self._marks.settle()
        return self._messages

    def _late_system(self, turn: Turn) -> None:
        parts = [self._parts.text(block) for block in turn.blocks if isinstance(block, Text) and block.text.strip()]
        if not parts:
            return
        if self._capabilities.system_in_messages:
            self._say(self._system_role, parts)
            return
        reason = "the model takes system text only before the conversation; sent here as the user's"
        self._losses.append(Loss(turn.path, "approx", reason))
        self._say("user", parts)

    def _assistant(self, turn: Turn) -> None:
        texts = [block for block in turn.blocks if isinstance(block, Text)]
        calls = [block for block in turn.blocks if isinstance(block, ToolCall)]
        for block in turn.blocks:
            if not isinstance(block, Text | ToolCall | Thinking):
                raise Refusal(block.path, "the upstream takes text and calls from an assistant, and nothing else")
        self._losses += [
            Loss(text.path, "drop", "the upstream takes no citations back") for text in texts if text.citations
        ]
        message: dict[str, Any] = {"role": "assistant", "content": _joined(texts, "text")}
        if refusal := _joined(texts, "refusal"):
            message["refusal"] = refusal
        for call in calls:
            if call.id in self._open:
                raise Refusal(call.path, "has the id of another call of the same turn")
            self._open[call.id] = call.path
        if calls:
            message["tool_calls"] = [write_call(call, self._capabilities) for call in calls]
            self._list_displaced(turn)
        if message["content"] is None and not refusal and not calls:
            return
        self._messages.append(message)

    def _list_displaced(self, turn: Turn) -> None:
        called = False
        for block in turn.blocks:
            called = called or isinstance(block, ToolCall)
            if called and isinstance(block, Text) and block.text:
                reason = "an assistant's text stands before its calls; this one stood after a call"
                self._losses.append(Loss(block.path, "approx", reason))
                return

    def _user(self, turns: Sequence[Turn]) -> None:
        answered: set[str] = set()
        aside: dict[str, list[dict[str, Any]]] = {}
        for turn in turns:
            for block in turn.blocks:
                if isinstance(block, ToolResult):
                    self._result(block, answered, aside.setdefault(turn.path, []))
        self._refuse_open()
        for turn in turns:
            said = [block for block in turn.blocks if not isinstance(block, ToolResult)]
            parts = [*aside.get(turn.path, ()), *(part for block in said for part in self._said(block))]
            if parts or not any(isinstance(block, ToolResult) for block in turn.blocks):
                self._say("user", parts)

    def _said(self, block: Block) -> list[dict[str, Any]]:
        match block:
            case Text():
                return [self._parts.text(block)] if block.text else []
            case Image():
                return [self._parts.image(block)]
            case Audio():
                return [self._parts.audio(block)]
            case Document():
                return self._parts.document(block)
            case SearchResult():
                return self._parts.search_result(block)
            case ToolCall() | Thinking():
                raise Refusal(block.path, "only an assistant thinks and calls tools")
            case ToolResult():
                raise AssertionError(block.path)
            case _:
                assert_never(block)

    def _result(self, result: ToolResult, answered: set[str], aside: list[dict[str, Any]]) -> None:
        if result.call_id in answered:
            raise Refusal(result.path, "answers a tool call that is answered already")
        if self._open.pop(result.call_id, None) is None:
            raise Refusal(result.path, "answers no tool call of the assistant message before it")
        answered.add(result.call_id)
        call_id = upstream_id(result.call_id)
        marks = [mark for mark in (*(block.cache for block in result.blocks), result.cache) if mark is not None]
        parts = [part for block in result.blocks for part in self._said(replace(block, cache=None))]
        media = [part for part in parts if part["type"] != "text"]
        if media:
            aside += [text_part(f"What tool call {call_id} returned beside its text:"), *media]
            reason = "a tool answers with text only; the rest is sent as the user's, after it"
            self._losses.append(Loss(result.path, "approx", reason))
        text = "\n".join(part["text"] for part in parts if part["type"] == "text")
        if result.is_error:
            text = text if text.startswith(ERROR) else ERROR + text
            self._losses.append(Loss(result.path, "approx", f"is_error is sent as {ERROR.strip()!r} before the text"))
        message: dict[str, Any] = {"role": "tool", "tool_call_id": call_id, "content": text}
        if marks and self._marks.wanted and text:
            message["content"] = [self._marks.marked(text_part(text), marks[-1])]
        self._messages.append(message)

    def _say(self, role: str, parts: list[dict[str, Any]]) -> None:
        """One text without a mark is a string, as most clients write it and every server takes it."""
        content: Any = parts
        if not parts:
            content = ""
        elif len(parts) == 1 and parts[0].keys() == {"type", "text"}:
            content = parts[0]["text"]
        self._messages.append({"role": role, "content": content})

    def _refuse_open(self) -> None:
        if path := next(iter(self._open.values()), None):
            raise Refusal(path, "has no tool result after it; the upstream wants one for every call")


def _joined(texts: Sequence[Text], kind: str) -> str | None:
    """The text of all blocks of a kind; None when that is nothing, as servers refuse an empty answer in a history."""
    return "".join(text.text for text in texts if text.kind == kind) or None
