"""Turns to Converse messages.

Rules, all of them 400s from the service when broken (reference notes 1.2 and 5.1, with the threads they are from):

1. The first message is the user's, and roles alternate: neighbours of one role are one message.
2. No text block is blank, and no message is empty.
3. The results of all calls of an assistant message stand first in the user message after it, in the order of the calls;
   none is missing, none is extra.
4. A message only ever depends on the turns up to the next of another role: a longer conversation begins with the same
   bytes, which provider caches and signed thinking need. So a late system message stays where it is, as user text where
   the model has no such role, and is not moved to the front.
5. A message with a document holds a text, too.
6. An assistant message at the end is the beginning of the answer, which newer models do not take
   (NousResearch/hermes-agent #108209); white space at its end is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Loss, Refusal
from extproc.conversation.request import (
    Audio,
    Block,
    Document,
    Image,
    Request,
    Role,
    SearchResult,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from extproc.dialects.bedrock.cache import CachePoints
from extproc.dialects.bedrock.citations import cited_text
from extproc.dialects.bedrock.documents import DocumentWriter, write_search_result
from extproc.dialects.bedrock.media import write_audio, write_image
from extproc.dialects.bedrock.reasoning import thinking_is_whole
from extproc.dialects.bedrock.tools import ToolNames, upstream_id, written_call

#: Stands for the nothing that a tool answered: Converse takes no empty result.
EMPTY_RESULT = "(no output)"

_Elements = list[dict[str, Any]]


@dataclass(slots=True)
class _Message:
    """One message being put together. Calls and results are keyed by the client's ids; ``documents`` are paths."""

    role: Role
    path: str
    content: _Elements = field(default_factory=list)
    calls: dict[str, str] = field(default_factory=dict)
    documents: list[str] = field(default_factory=list)
    results: dict[str, tuple[str, _Elements]] = field(default_factory=dict)

    def last_part(self) -> _Elements:
        """The list that ends with the last element of the message."""
        return self.content or next((elements for _, elements in reversed(self.results.values())), self.content)

    def whole(self) -> dict[str, Any]:
        content = [element for _, elements in self.results.values() for element in elements]
        return {"role": self.role, "content": content + self.content}


def write_system(system: Sequence[Text], cache: CachePoints) -> list[dict[str, Any]]:
    """``system``: one block for each text that is not blank."""
    elements: _Elements = []
    for text in system:
        if text.text.strip():
            elements.append({"text": text.text})
        cache.add(elements, text.cache, text.path)
    return elements


def write_messages(
    request: Request, capabilities: Capabilities, names: ToolNames, cache: CachePoints, losses: list[Loss]
) -> list[dict[str, Any]]:
    """``messages``; raises ``Refusal`` for conversations that Converse does not take."""
    keep_thinking = _keeps_thinking(request.turns, capabilities, losses)
    writer = _Writer(capabilities, names, cache, losses, keep_thinking=keep_thinking)
    for turn in request.turns:
        writer.add(turn)
    messages = writer.finished()
    cache.add(messages[-1].last_part(), request.cache, "cache_control")
    return [message.whole() for message in messages]


def _keeps_thinking(turns: Sequence[Turn], capabilities: Capabilities, losses: list[Loss]) -> bool:
    first = next((block for turn in turns for block in turn.blocks if isinstance(block, Thinking)), None)
    if first is None:
        return True
    if not capabilities.thinking_blocks:
        losses.append(Loss(first.path, "drop", "the model takes no reasoning of earlier turns back"))
        return False
    if not thinking_is_whole(tuple(turns)):
        losses.append(Loss(first.path, "drop", "a reasoning block lost its signature, so none of them can go back"))
        return False
    return True


class _Writer:
    """The messages so far."""

    def __init__(
        self,
        capabilities: Capabilities,
        names: ToolNames,
        cache: CachePoints,
        losses: list[Loss],
        *,
        keep_thinking: bool,
    ) -> None:
        self._capabilities = capabilities
        self._names = names
        self._cache = cache
        self._losses = losses
        self._documents = DocumentWriter(losses, stored_files=capabilities.stored_files)
        self._keep_thinking = keep_thinking
        self._messages: list[_Message] = []
        # Where the user said nothing: fine beside another message of the user's, and else a refusal.
        self._blank_path: str | None = None

    def add(self, turn: Turn) -> None:
        role = self._role(turn)
        last = self._messages[-1] if self._messages else None
        message = last if last is not None and last.role == role else _Message(role, turn.path)
        for block in turn.blocks:
            self._block(block, message)
        if not message.content and not message.results:
            if turn.role == "user":
                self._blank_path = turn.path
            return
        if role != "user":
            self._refuse_blank()
        self._blank_path = None
        if message is not last:
            self._messages.append(message)

    def finished(self) -> list[_Message]:
        """All messages, results in order and complete."""
        self._refuse_blank()
        if not self._messages:
            raise Refusal("messages", "Bedrock wants at least one user message")
        first = self._messages[0]
        if first.role == "assistant":
            raise Refusal(first.path, "Bedrock wants the conversation to begin with a user message")
        for position, message in enumerate(self._messages):
            before = self._messages[position - 1] if position else None
            _pair(before.calls if before else {}, message)
            if message.documents and not any("text" in element for element in message.content):
                raise Refusal(message.documents[0], "Bedrock wants a text beside a document; say what it is for")
        if unanswered := next(iter(self._messages[-1].calls.values()), None):
            raise Refusal(unanswered, _UNANSWERED)
        if self._messages[-1].role == "assistant":
            self._begin_answer(self._messages[-1])
        return self._messages

    def _begin_answer(self, message: _Message) -> None:
        if not self._capabilities.prefill:
            reason = "the model does not go on with an answer that has begun; end with a user message"
            raise Refusal(message.path, reason)
        last = message.content[-1]
        text = last.get("text")
        if text is not None and text != text.rstrip():
            last["text"] = text.rstrip()
            self._losses.append(Loss(message.path, "approx", "an answer that has begun cannot end in white space"))

    def _refuse_blank(self) -> None:
        if self._blank_path is not None:
            raise Refusal(self._blank_path, "Bedrock takes no blank message; write something, or leave the message out")

    def _role(self, turn: Turn) -> Role:
        if turn.role != "system" or self._capabilities.system_in_messages:
            return turn.role
        reason = "the model takes system text only before the conversation; sent here as the user's"
        self._losses.append(Loss(turn.path, "approx", reason))
        return "user"

    def _block(self, block: Block, message: _Message) -> None:
        match block:
            case Text():
                self._text(block, message)
            case Image():
                message.content.append(write_image(block, self._losses, stored_files=self._capabilities.stored_files))
                self._cache.add(message.content, block.cache, block.path)
            case ToolCall():
                self._call(block, message)
            case ToolResult():
                self._result(block, message)
            case Thinking():
                if self._keep_thinking:
                    message.content.append(_written_thinking(block))
            case Audio():
                message.content.append(write_audio(block))
            case Document():
                message.content.append(self._documents.write(block))
                message.documents.append(block.path)
                self._cache.add(message.content, block.cache, block.path)
            case SearchResult():
                message.content.append(write_search_result(block))
                self._cache.add(message.content, block.cache, block.path)
            case _:
                assert_never(block)

    def _text(self, text: Text, message: _Message) -> None:
        if text.text.strip():
            cites = bool(text.citations) and message.role == "assistant" and self._capabilities.maker == "anthropic"
            if text.citations and not cites:
                self._losses.append(Loss(text.path, "drop", "citations: the model takes none back"))
            message.content.append(cited_text(text) if cites else {"text": text.text})
        self._cache.add(message.content, text.cache, text.path)

    def _call(self, call: ToolCall, message: _Message) -> None:
        if call.id in message.calls:
            raise Refusal(call.path, "has the id of another call of the same turn")
        message.calls[call.id] = call.path
        message.content.append(written_call(call, self._names))
        self._cache.add(message.content, call.cache, call.path)

    def _result(self, result: ToolResult, message: _Message) -> None:
        if result.call_id in message.results:
            raise Refusal(result.path, "answers a tool call that is answered already")
        content = [element for block in result.blocks for element in self._answer(block)]
        if not content:
            content.append({"text": EMPTY_RESULT})
            self._losses.append(Loss(result.path, "approx", f"an empty tool result is sent as {EMPTY_RESULT}"))
        tool_result: dict[str, Any] = {"toolUseId": upstream_id(result.call_id), "content": content}
        if result.is_error:
            tool_result["status"] = "error"
        elements: _Elements = [{"toolResult": tool_result}]
        marks = [result.cache, *(block.cache for block in result.blocks)]
        self._cache.add(elements, next((mark for mark in marks if mark is not None), None), result.path)
        message.results[result.call_id] = (result.path, elements)

    def _answer(self, block: Text | Image | Document | SearchResult) -> _Elements:
        """What one block of a tool's answer becomes."""
        match block:
            case Text(text=text):
                return [{"text": text}] if text.strip() else []
            case Image():
                return [write_image(block, self._losses, stored_files=self._capabilities.stored_files)]
            case Document():
                return [self._documents.write(block)]
            case SearchResult():
                return [write_search_result(block)]
            case _:
                assert_never(block)


_UNANSWERED = "has no tool result in the message after it; Bedrock wants one for every call"


def _pair(calls: dict[str, str], message: _Message) -> None:
    """Puts the results into the order of the calls; each call has one, and each result its call."""
    for call_id, (path, _) in message.results.items():
        if call_id not in calls:
            raise Refusal(path, "answers no tool call of the assistant message before it")
    for call_id, path in calls.items():
        if call_id not in message.results:
            raise Refusal(path, _UNANSWERED)
    message.results = {call_id: message.results[call_id] for call_id in calls}


def _written_thinking(thinking: Thinking) -> dict[str, Any]:
    if thinking.redacted is not None:
        return {"reasoningContent": {"redactedContent": thinking.redacted}}
    return {"reasoningContent": {"reasoningText": {"text": thinking.text, "signature": thinking.signature}}}
