"""Turns to Anthropic's messages.

Rules, all of them 400s from the API when broken (platform.claude.com and the threads named, read 2026-11-22):

1. The first message is the user's, and neighbours of one role are one message.
2. No text block is blank, and no message is empty; the last text of an answer begun for the model ends in no space.
3. The results of all calls of an assistant message stand first in the user message after it, in the order of the calls.
4. A system message stands right after a user message, before an assistant's or at the end, and holds text only (AWS
   user guide, mid-conversation system messages). Elsewhere, or where the model has no such role, it is folded into the
   user's message as a marked text: it is never moved to the front, which would break caches and signed reasoning.
5. A longer conversation begins with the bytes of the shorter one up to its last answer, which provider caches and
   signed thinking need; and the user's blocks after that answer stay the first of their message, up to a system
   message. More cannot be had: once the user goes on after a system message without having been answered, no rule of
   the API leaves it a message of its own. It is then folded where it stands.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final, Literal, assert_never

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Loss, Refusal
from extproc.conversation.request import (
    Audio,
    Block,
    Document,
    Image,
    SearchResult,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from extproc.dialects.anthropic.citations import maybe_written
from extproc.dialects.anthropic.upstream.cache import CacheMarks
from extproc.dialects.anthropic.upstream.ids import checked_name, embedded_object, upstream_id
from extproc.dialects.anthropic.upstream.media import write_document, write_image, write_search_result

_FOLDED: Final = "<system_message>\n{}\n</system_message>"

_Elements = list[dict[str, Any]]


@dataclass(slots=True)
class _Message:
    """One message being put together. Calls and results are keyed by the client's ids."""

    role: Literal["user", "assistant", "system"]
    path: str
    content: _Elements = field(default_factory=list)
    calls: dict[str, str] = field(default_factory=dict)
    results: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)

    def whole(self) -> dict[str, Any]:
        return {"role": self.role, "content": [result for _, result in self.results.values()] + self.content}


def write_system(system: Sequence[Text], marks: CacheMarks) -> _Elements:
    """``system``: one block for each text that is not blank."""
    elements: _Elements = []
    for text in system:
        if text.text.strip():
            elements.append({"type": "text", "text": text.text})
        marks.add(elements, text.cache, text.path)
    return elements


class MessageWriter:
    """Writes ``messages``; ``fetches``: the upstream loads images and documents from the web."""

    def __init__(self, capabilities: Capabilities, marks: CacheMarks, losses: list[Loss], *, fetches: bool) -> None:
        self._capabilities = capabilities
        self._marks = marks
        self._losses = losses
        self._fetches = fetches

    def write(self, turns: Sequence[Turn]) -> list[dict[str, Any]]:
        """``messages``; raises ``Refusal`` for conversations that the API does not take."""
        messages: list[_Message] = []
        said = (turn for turn in turns if turn.role != "assistant" or any(map(_is_content, turn.blocks)))
        for assistant, grouped in groupby(said, lambda turn: turn.role == "assistant"):
            run = list(grouped)
            told = [self._assistant(run)] if assistant else list(self._user_side(run))
            messages += [message for message in told if message.content or message.results]
        self._check_ends(messages)
        before: dict[str, str] = {}
        for message in messages:
            _pair(before, message)
            before = message.calls
        if unanswered := next(iter(before.values()), None):
            raise Refusal(unanswered, _UNANSWERED)
        return [message.whole() for message in messages]

    def _assistant(self, turns: list[Turn]) -> _Message:
        message = _Message("assistant", turns[0].path)
        for turn in turns:
            for block in turn.blocks:
                self._block(block, message)
        return message

    def _user_side(self, turns: list[Turn]) -> Iterator[_Message]:
        """A user message, and a system message after it where there is one and the model takes it there."""
        spoken = [at for at, turn in enumerate(turns) if turn.role == "user" and any(map(_is_content, turn.blocks))]
        capable = self._capabilities.system_in_messages and bool(spoken)
        user, system = _Message("user", turns[0].path), _Message("system", "")
        for position, turn in enumerate(turns):
            if turn.role != "system":
                self._user(turn, user)
            elif not capable or spoken[0] < position < spoken[-1]:
                self._fold(turn, user)
            else:
                if position < spoken[0]:
                    reason = "a system message stands after the user's here; sent after the following one"
                    self._losses.append(Loss(turn.path, "approx", reason))
                for block in turn.blocks:
                    self._block(block, system)
        if not user.content and not user.results:
            path = next((turn.path for turn in turns if turn.role == "user"), None)
            if path is not None:
                raise Refusal(path, "Anthropic takes no blank message; write something, or leave the message out")
        yield user
        yield system

    def _user(self, turn: Turn, message: _Message) -> None:
        for block in turn.blocks:
            self._block(block, message)

    def _fold(self, turn: Turn, message: _Message) -> None:
        told = False
        for block in turn.blocks:
            if isinstance(block, Text) and block.text.strip():
                told = True
                message.content.append({"type": "text", "text": _FOLDED.format(block.text)})
                self._marks.add(message.content, block.cache, block.path)
        if told:
            reason = "the model takes no system text at this place; sent as a marked text of the user's"
            self._losses.append(Loss(turn.path, "approx", reason))

    def _block(self, block: Block, message: _Message) -> None:
        match block:
            case Text():
                if block.text.strip():
                    message.content.append(_written_text(block, cites=message.role == "assistant"))
            case Image():
                message.content.append(write_image(block, self._losses, fetches=self._fetches))
            case Document():
                message.content.append(write_document(block, self._losses, fetches=self._fetches))
            case SearchResult():
                message.content.append(write_search_result(block))
            case ToolCall():
                self._call(block, message)
            case ToolResult():
                self._result(block, message)
                return
            case Thinking():
                message.content += _written_thinking(block)
                return
            case Audio():
                raise Refusal(block.path, "audio cannot be sent to Anthropic; send its transcript")
            case _:
                assert_never(block)
        self._marks.add(message.content, block.cache, block.path)

    def _call(self, call: ToolCall, message: _Message) -> None:
        if call.id in message.calls:
            raise Refusal(call.path, "has the id of another call of the same turn")
        message.calls[call.id] = call.path
        name = checked_name(call.name, call.path)
        given: Any = {"input": call.arguments} if call.kind == "custom" else embedded_object(call.arguments, call.path)
        message.content.append({"type": "tool_use", "id": upstream_id(call.id), "name": name, "input": given})

    def _result(self, result: ToolResult, message: _Message) -> None:
        if result.call_id in message.results:
            raise Refusal(result.path, "answers a tool call that is answered already")
        inner = _Message("user", result.path)
        for block in result.blocks:
            self._block(block, inner)
        written: dict[str, Any] = {"type": "tool_result", "tool_use_id": upstream_id(result.call_id)}
        if inner.content:
            written["content"] = inner.content
        if result.is_error:
            written["is_error"] = True
        self._marks.add([written], result.cache, result.path)
        message.results[result.call_id] = (result.path, written)

    def _check_ends(self, messages: list[_Message]) -> None:
        if not messages:
            raise Refusal("messages", "Anthropic wants at least one user message")
        if messages[0].role == "assistant":
            raise Refusal(messages[0].path, "Anthropic wants the conversation to begin with a user message")
        last = messages[-1]
        if last.role != "assistant":
            return
        if not self._capabilities.prefill:
            reason = "the model cannot go on with an answer that was begun for it; end with a user message"
            raise Refusal(last.path, reason)
        final = last.content[-1]
        if final["type"] == "text":
            final["text"] = final["text"].rstrip()


_UNANSWERED: Final = "a tool call without a result; every call needs one tool message right after it"


def _is_content(block: Block) -> bool:
    match block:
        case Text(text=text):
            return bool(text.strip())
        case Thinking():
            return bool(_written_thinking(block))
        case _:
            return True


def _pair(calls: dict[str, str], message: _Message) -> None:
    """Puts the results in the order of the calls before them; raises ``Refusal`` for a hole or a stranger."""
    for call_id, path in calls.items():
        if call_id not in message.results:
            raise Refusal(path, _UNANSWERED)
    for call_id, (path, _) in message.results.items():
        if call_id not in calls:
            raise Refusal(path, "answers no tool call of the assistant message before it")
    message.results = {call_id: message.results[call_id] for call_id in calls}


def _written_text(block: Text, *, cites: bool) -> dict[str, Any]:
    if not cites:
        return {"type": "text", "text": block.text}
    told = [written for citation in block.citations if (written := maybe_written(citation))]
    return {"type": "text", "text": block.text, **({"citations": told} if told else {})}


def _written_thinking(block: Thinking) -> _Elements:
    """Reasoning as it was; none without what its maker checks it by."""
    if block.redacted is not None:
        return [{"type": "redacted_thinking", "data": block.redacted}]
    if block.signature:
        return [{"type": "thinking", "thinking": block.text, "signature": block.signature}]
    return []
