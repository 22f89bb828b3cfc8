"""Turns to contents.

Rules, all of them 400s from the service when broken (reference notes 2.8 and the threads there):

1. Roles are ``user`` and ``model``; neighbours of one role are one content.
2. The results of the calls of a model content stand alone in the user content right after it, in the order of the
   calls; none is missing, none is extra (google-gemini/gemini-cli #5443). What the user says beside them is a content
   of its own (anomalyco/opencode #43479).
3. No part is empty, except that which a signature stands on (vercel/ai #3775).
4. A signature goes back on the part that it was on. The first call of a step has one: where nobody knows it, a word
   that asks the model not to look. It is there in every step, old or new: what was sent once is sent the same ever
   after.
5. A content depends on the turns up to the next of another role, so that a longer conversation begins with the same
   bytes. So late system text stays where it is, as the user's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, assert_never

import msgspec

from extproc.conversation import custom_tools
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
from extproc.dialects.contract import Destination
from extproc.dialects.gemini import signatures
from extproc.dialects.gemini.ids import checked_name, maybe_upstream_id
from extproc.dialects.gemini.media import MediaWriter, Part
from extproc.wire import jsontext
from extproc.wire.errors import JsonError


@dataclass(slots=True)
class _Content:
    """One content being put together. ``calls`` by the client's id: its path and name; so are ``results``."""

    role: Literal["user", "model"]
    path: str
    parts: list[Part] = field(default_factory=list)
    calls: dict[str, tuple[str, str]] = field(default_factory=dict)
    results: dict[str, tuple[str, Part]] = field(default_factory=dict)


def write_system(system: Sequence[Text], losses: list[Loss]) -> dict[str, Any] | None:
    """``systemInstruction``: one part for each text that is not blank."""
    for text in system:
        _list_cache(text, losses)
    parts = [{"text": text.text} for text in system if text.text.strip()]
    return {"parts": parts} if parts else None


def write_contents(turns: Sequence[Turn], destination: Destination, losses: list[Loss]) -> list[dict[str, Any]]:
    """``contents``; raises ``Refusal`` for conversations that Gemini does not take."""
    writer = _Writer(destination, losses)
    for turn in turns:
        writer.add(turn)
    return writer.finished()


class _Writer:
    """The contents so far."""

    def __init__(self, destination: Destination, losses: list[Loss]) -> None:
        self._capabilities = destination.capabilities
        self._media = MediaWriter(destination, losses)
        self._losses = losses
        self._contents: list[_Content] = []
        #: The signature of the part that comes next in this turn.
        self._signature: str | None = None
        # How often something was added to them.
        self._written = 0
        # Where the user said nothing: fine beside another message of the user's, and else a refusal.
        self._blank_path: str | None = None

    def add(self, turn: Turn) -> None:
        if turn.role == "system":
            reason = "Gemini takes system text only before the conversation; sent here as the user's"
            self._losses.append(Loss(turn.path, "approx", reason))
        role: Literal["user", "model"] = "model" if turn.role == "assistant" else "user"
        before = self._written
        # Results answer the content before, whatever else the same message says.
        for block in sorted(turn.blocks, key=lambda block: not isinstance(block, ToolResult)):
            self._block(block, role, turn.path)
        if self._signature is not None:
            self._content(role, turn.path).parts.append(self._signed({"text": ""}))
        if self._written != before:
            if role == "model":
                self._refuse_blank()
            self._blank_path = None
        elif role == "user" and not (self._contents and self._contents[-1].role == "user"):
            self._blank_path = turn.path

    def finished(self) -> list[dict[str, Any]]:
        """All contents, results in order and complete."""
        self._refuse_blank()
        if not self._contents:
            raise Refusal("messages", "Gemini wants at least one message")
        if first_call := next(iter(self._contents[0].calls.values()), None):
            raise Refusal(first_call[0], "Gemini wants the conversation to begin with a user message, not with a call")
        for position, content in enumerate(self._contents):
            before = self._contents[position - 1] if position else None
            self._pair(before.calls if before else {}, content)
        last = self._contents[-1]
        if unanswered := next(iter(last.calls.values()), None):
            raise Refusal(unanswered[0], _UNANSWERED)
        if last.role == "model" and not self._capabilities.prefill:
            raise Refusal(last.path, "the model does not go on with an answer that is begun; end with a user message")
        return [{"role": content.role, "parts": content.parts} for content in self._contents]

    def _refuse_blank(self) -> None:
        if self._blank_path is not None:
            raise Refusal(self._blank_path, "Gemini takes no blank message; write something, or leave the message out")

    def _content(self, role: Literal["user", "model"], path: str, *, results: bool = False) -> _Content:
        """The content to go on with: the last one, if it is of the same role and as pure as asked for."""
        last = self._contents[-1] if self._contents else None
        if last is None or last.role != role or (last.results and not results) or (results and last.parts):
            last = _Content(role, path)
            self._contents.append(last)
        self._written += 1
        return last

    def _block(self, block: Block, role: Literal["user", "model"], path: str) -> None:
        match block:
            case Thinking():
                self._thinking(block, path)
                return
            case ToolCall():
                self._call(block, path)
            case ToolResult():
                self._result(block, path)
            case Text():
                self._text(block, role, path)
            case Image():
                self._parts(role, path, [self._media.image(block)])
            case Audio():
                self._parts(role, path, [self._media.audio(block)])
            case Document():
                self._parts(role, path, self._media.document(block))
            case SearchResult():
                self._parts(role, path, self._media.search_result(block))
            case _:
                assert_never(block)
        _list_cache(block, self._losses)

    def _text(self, text: Text, role: Literal["user", "model"], path: str) -> None:
        if text.citations:
            self._losses.append(Loss(text.path, "drop", "Gemini takes no citations back"))
        if text.text.strip() or (text.text and self._signature is not None):
            self._parts(role, path, [{"text": text.text}])

    def _parts(self, role: Literal["user", "model"], path: str, parts: list[Part]) -> None:
        if parts:
            self._content(role, path).parts += [self._signed(parts[0]), *parts[1:]]

    def _signed(self, part: Part) -> Part:
        if self._signature is not None:
            part["thoughtSignature"], self._signature = self._signature, None
        return part

    def _thinking(self, thinking: Thinking, path: str) -> None:
        """A thought, or the signature of what follows; one that was given before and not used stands alone."""
        signature = thinking.signature
        if signature is None or thinking.redacted is not None:
            return
        if thinking.text:
            part: Part = {"text": thinking.text, "thought": True}
            if not signatures.is_noted(signature):
                part["thoughtSignature"] = signature
            self._content("model", path).parts.append(part)
            return
        if signature == signatures.UNSIGNED_THOUGHT:
            return
        single = signatures.stood_alone(signature)
        if single is not None or self._signature is not None:
            self._content("model", path).parts.append({"text": "", "thoughtSignature": single or self._signature})
        if single is None:
            self._signature = signature

    def _call(self, call: ToolCall, path: str) -> None:
        content = self._content("model", path)
        if call.id in content.calls:
            raise Refusal(call.path, "has the id of another call of the same turn")
        written: dict[str, Any] = {"name": checked_name(call.name, call.path)}
        if (known := self._maybe_id(call.id)) is not None:
            written["id"] = known
        arguments = custom_tools.arguments_of(call.arguments) if call.kind == "custom" else call.arguments
        written["args"] = _embedded_object(arguments, call.path)
        part = self._signed({"functionCall": written})
        if not content.calls and self._capabilities.checks_signatures:
            part.setdefault("thoughtSignature", signatures.SKIP_VALIDATION)
        content.calls[call.id] = call.path, call.name
        content.parts.append(part)

    def _maybe_id(self, call_id: str) -> str | None:
        return maybe_upstream_id(call_id) if self._capabilities.call_ids else None

    def _result(self, result: ToolResult, path: str) -> None:
        content = self._content("user", path, results=True)
        if result.call_id in content.results:
            raise Refusal(result.path, "answers a tool call that is answered already")
        parts: list[Part] = []
        for block in result.blocks:
            _list_cache(block, self._losses)
            match block:
                case Text():
                    parts.append({"text": block.text})
                case Image():
                    parts.append(self._media.image(block))
                case Document():
                    parts += self._media.document(block)
                case SearchResult():
                    parts += self._media.search_result(block)
                case _:
                    assert_never(block)
        media = [part for part in parts if "text" not in part]
        if media and not self._capabilities.media_in_tool_results:
            raise Refusal(result.path, "the model takes only text as the result of a tool")
        words = "\n".join(part["text"] for part in parts if "text" in part)
        response: Part = {"response": {"error" if result.is_error else "output": words}}
        if media:
            response["parts"] = media
        content.results[result.call_id] = result.path, response

    def _pair(self, calls: dict[str, tuple[str, str]], content: _Content) -> None:
        """Puts the results into the order of the calls; each call has one, and each result its call."""
        for call_id, (path, _) in content.results.items():
            if call_id not in calls:
                raise Refusal(path, "answers no tool call of the assistant message before it")
        for call_id, (path, name) in calls.items():
            if call_id not in content.results:
                raise Refusal(path, _UNANSWERED)
            known = self._maybe_id(call_id)
            head = {"name": name} if known is None else {"id": known, "name": name}
            content.parts.append({"functionResponse": {**head, **content.results[call_id][1]}})


_UNANSWERED = "has no tool result in the message after it; Gemini wants one for every call"


def _embedded_object(text: str, path: str) -> msgspec.Raw:
    """JSON text for embedding as it is, number literals and all; raises ``Refusal`` unless it is one object."""
    encoded = text.encode() if text.strip() else b"{}"
    try:
        jsontext.check_object(encoded)
    except JsonError as error:
        raise Refusal(path, "Gemini takes a JSON object here") from error
    return msgspec.Raw(encoded)


def _list_cache(block: Block, losses: list[Loss]) -> None:
    if not isinstance(block, Audio | Thinking) and block.cache is not None:
        losses.append(Loss(block.path, "drop", "Gemini decides by itself what it caches"))
