"""``messages``: every role, in order, each message its own turn.

Rules:

1. The leading run of system and developer messages is the request's ``system``; later ones stay where they are.
2. An assistant's calls must each be answered by one tool message before any other message: a hole there is an error
   at every vendor, and here it can be named with the caller's own path.
3. The deprecated ``function_call`` and role ``function`` become a call and its result, with the id ``fc_<n>`` by the
   position of the calling message: the same prefix of a conversation always gives the same ids.

Facts: openai-python 3.54 ``types/chat/chat_completion_message_param``, read 2026-11-22.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

from msgspec.structs import replace

from extproc.conversation.request import (
    Block,
    Document,
    Extra,
    Image,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from extproc.dialects.openai.fields import Members, missing, unknown_word, wrong_value
from extproc.dialects.openai.parts import ASSISTANT_PARTS, TEXT_PARTS, USER_PARTS, read_cache, read_content
from extproc.dialects.openai.thinking import NOTHING, THINKING_MEMBERS, Carried, in_order, maybe_signed, read_thinking
from extproc.wire import jsontext
from extproc.wire.errors import JsonError, JsonShapeError

_PLAIN_MEMBERS: Final = frozenset({"role", "content", "cache_control"})
_TOOL_MEMBERS: Final = _PLAIN_MEMBERS | {"tool_call_id"}
#: ``annotations`` and ``parsed`` are what SDKs echo of an answer; the texts are read from ``content``.
_ASSISTANT_MEMBERS: Final = (
    _PLAIN_MEMBERS | THINKING_MEMBERS | {"refusal", "tool_calls", "function_call", "audio", "annotations", "parsed"}
)
#: ``index`` and ``parsed_arguments`` are what openai-python's stream helper adds to a call.
_CALL_MEMBERS: Final = frozenset({"id", "type", "function", "cache_control", "index", "extra_content"})
_CUSTOM_CALL_MEMBERS: Final = frozenset({"id", "type", "custom", "cache_control", "index", "extra_content"})
_CUSTOM_MEMBERS: Final = frozenset({"name", "input"})
_CALL_FUNCTION_MEMBERS: Final = frozenset({"name", "arguments", "parsed_arguments"})
_CALL_TYPES: Final = {"function": "function", "custom": "custom"}
#: How many unanswered calls an error names.
_MAX_NAMED_IDS: Final = 5
#: How much of an id an error repeats.
_MAX_ID: Final = 64
#: The roles that may follow calls which wait for their answers.
_ANSWERING: Final = frozenset({"tool", "function"})


class History:
    """The messages read so far, and what the next one may be."""

    def __init__(self, extras: list[Extra]) -> None:
        self.system: list[Text] = []
        self.turns: list[Turn] = []
        self._extras = extras
        self._position = 0
        #: Calls of the last assistant message that wait for their answers: id -> path.
        self._open: dict[str, str] = {}
        #: Those of them that are answered.
        self._answered: set[str] = set()
        #: Name of the function and id of the call that a message of role ``function`` answers.
        self._legacy: tuple[str, str] | None = None
        #: Signatures of the calls of the last assistant message, by their ids.
        self._signatures: dict[str, Thinking] = {}
        #: Turns that lost their reasoning: position -> path of what is left of it.
        self._lost: dict[int, str] = {}
        #: Whether a turn came with a seal, after which each one has its own.
        self._sealed = False

    def read(self, messages: list[Members]) -> None:
        """All messages of a request. Raises ``ClientError``."""
        for position, message in enumerate(messages):
            self._position = position
            role = message.text("role")
            reader = self._READERS.get(role)
            if reader is None:
                raise unknown_word(message.at("role"), role, self._READERS.keys())
            if self._open and role not in _ANSWERING:
                self._refuse_open_calls()
            reader(self, message)
        if self._open:
            self._refuse_open_calls()
        if self._lost:
            self._tell_lost()

    def _tell_lost(self) -> None:
        """Where other turns have their reasoning, one that lost it is a gap, which spoils all of it.

        A block that nobody signed stands for the gap: it goes nowhere, and what is beside it stays behind as well.
        """
        if any(isinstance(block, Thinking) for turn in self.turns for block in turn.blocks):
            for position, path in self._lost.items():
                turn = self.turns[position]
                if turn is self.turns[-1] and turn.role == "assistant":
                    continue  # an answer that was begun for the model
                self.turns[position] = replace(turn, blocks=(Thinking(path), *turn.blocks))

    def _read_system(self, message: Members) -> None:
        self._extras.extend(message.unknown(_PLAIN_MEMBERS))
        blocks = self._marked(self._content(message, TEXT_PARTS), message)
        if self.turns:
            self.turns.append(Turn("system", blocks, message.path))
        else:
            self.system.extend(block for block in blocks if isinstance(block, Text))

    def _read_user(self, message: Members) -> None:
        self._extras.extend(message.unknown(_PLAIN_MEMBERS))
        blocks = self._marked(self._content(message, USER_PARTS), message)
        self.turns.append(Turn("user", blocks, message.path))

    def _read_assistant(self, message: Members) -> None:
        self._extras.extend(message.unknown(_ASSISTANT_MEMBERS))
        if message.values.get("audio") is not None:
            self._extras.append(Extra(message.at("audio"), message.values["audio"], essential=True))
        carried = read_thinking(message, self._extras)
        texts: list[Text] = []
        if message.values.get("content") is not None:
            texts += [part for part in self._content(message, ASSISTANT_PARTS) if isinstance(part, Text)]
        if refusal := message.maybe_text("refusal"):
            texts.append(Text(refusal, message.at("refusal"), kind="refusal"))
        calls = self._calls(message)
        if carried is NOTHING and not self._signatures:
            blocks: tuple[Block, ...] = (*texts, *calls)
        else:
            blocks = self._with_reasoning(message, carried, texts, calls)
        self._note_seal(message, carried, blocks)
        self.turns.append(Turn("assistant", self._marked(blocks, message), message.path))

    def _note_seal(self, message: Members, carried: Carried, blocks: Sequence[Block]) -> None:
        """A turn that says nothing of reasoning has lost it if turns before it are sealed (see ``carrier``)."""
        if carried.seal is not None:
            # Makers that sign their calls have no seals on turns without.
            signs = any((told.origin or "").startswith("google") for told in carried.thoughts)
            self._sealed = self._sealed or not signs
        elif self._sealed and carried.lost is None and not any(isinstance(block, Thinking) for block in blocks):
            self._lost[len(self.turns)] = message.path

    def _with_reasoning(
        self, message: Members, carried: Carried, texts: list[Text], calls: list[ToolCall]
    ) -> tuple[Block, ...]:
        """The turn as it stood. Signatures of what was said and called count where no other carrier is."""
        if not carried.thoughts:
            whole = maybe_signed(message, self._extras)
            if whole is not None or self._signatures:
                blocks: list[Block] = [*([whole] if whole else []), *(text for text in texts if text.text)]
                for call in calls:
                    signature = self._signatures.get(call.id)
                    blocks += [call] if signature is None else [signature, call]
                return tuple(blocks)
        ordered, lost = in_order(carried, texts, calls, legacy=self._legacy is not None)
        if lost is not None and carried.thoughts:
            return (Thinking(lost), *ordered)
        if lost is not None:
            self._lost[len(self.turns)] = lost
        return tuple(ordered)

    def _calls(self, message: Members) -> list[ToolCall]:
        self._open, self._answered, self._legacy, self._signatures = {}, set(), None, {}
        calls = [self._call(entry) for entry in message.objects("tool_calls")]
        legacy = message.maybe_object("function_call")
        if legacy is None:
            return calls
        if self._open:
            raise wrong_value(legacy.path, "cannot stand beside tool_calls, which replaced it; keep tool_calls only")
        call_id, name = f"fc_{self._position}", legacy.name("name")
        self._open[call_id] = legacy.path
        self._legacy = name, call_id
        return [ToolCall(legacy.path, call_id, name, read_arguments(legacy))]

    def _call(self, call: Members) -> ToolCall:
        call_id = call.name("id")
        if call_id in self._open:
            raise wrong_value(call.at("id"), "another call of the same message has this id; ids must be unique")
        self._open[call_id] = call.path
        if "extra_content" in call.values and (signature := maybe_signed(call, self._extras)):
            self._signatures[call_id] = signature
        if call.word("type", _CALL_TYPES) == "custom":
            self._extras.extend(call.unknown(_CUSTOM_CALL_MEMBERS))
            custom = call.object("custom")
            self._extras.extend(custom.unknown(_CUSTOM_MEMBERS))
            name, text = custom.name("name"), custom.text("input")
            return ToolCall(call.path, call_id, name, text, read_cache(call), kind="custom")
        self._extras.extend(call.unknown(_CALL_MEMBERS))
        function = call.object("function")
        self._extras.extend(function.unknown(_CALL_FUNCTION_MEMBERS))
        return ToolCall(call.path, call_id, function.name("name"), read_arguments(function), read_cache(call))

    def _read_tool(self, message: Members) -> None:
        self._extras.extend(message.unknown(_TOOL_MEMBERS))
        self._answer(message, message.name("tool_call_id"), "tool_call_id")

    def _read_function(self, message: Members) -> None:
        self._extras.extend(message.unknown(_PLAIN_MEMBERS | {"name"}))
        name = message.name("name")
        if self._legacy is None or self._legacy[0] != name:
            raise wrong_value(message.at("name"), "answers no function_call of the preceding assistant message")
        self._answer(message, self._legacy[1], "name")

    def _answer(self, message: Members, call_id: str, member: str) -> None:
        if call_id in self._answered:
            raise wrong_value(message.at(member), "answers a call that an earlier message has answered")
        if call_id not in self._open:
            still = f"still open: {self._open_ids()}" if self._open else "none is open"
            raise wrong_value(message.at(member), f"answers no call of the preceding assistant message; {still}")
        del self._open[call_id]
        self._answered.add(call_id)
        content: tuple[Block, ...] = ()
        if message.values.get("role") != "function" or message.values.get("content") is not None:
            content = self._content(message, TEXT_PARTS)
        texts = tuple(block for block in content if isinstance(block, Text))
        # Targets mark a result as a whole, so the last mark inside it stands for its end.
        marks = [text.cache for text in texts if text.cache] + [mark for mark in (read_cache(message),) if mark]
        result = ToolResult(
            message.path,
            call_id,
            tuple(replace(text, cache=None) if text.cache else text for text in texts),
            cache=marks[-1] if marks else None,
        )
        self.turns.append(Turn("user", (result,), message.path))

    def _content(self, message: Members, readers: Mapping[str, Any]) -> tuple[Block, ...]:
        content = message.values.get("content")
        if content is None:
            raise missing(message.at("content"), "a string or an array of content parts")
        return read_content(content, message.at("content"), readers, self._extras)

    def _refuse_open_calls(self) -> None:
        path = next(iter(self._open.values()))
        raise wrong_value(
            path, f"every call needs a tool message that answers it before any other; still open: {self._open_ids()}"
        )

    def _open_ids(self) -> str:
        ids = [repr(call_id[:_MAX_ID]) for call_id in self._open]
        return ", ".join(ids[:_MAX_NAMED_IDS]) + (", ..." if len(ids) > _MAX_NAMED_IDS else "")

    def _marked(self, blocks: tuple[Block, ...], message: Members) -> tuple[Block, ...]:
        """A mark on a message is one on its last block that can hold one."""
        cache = read_cache(message)
        if cache is None:
            return blocks
        for index in range(len(blocks) - 1, -1, -1):
            block = blocks[index]
            if isinstance(block, Text | Image | Document | ToolCall):
                return (*blocks[:index], replace(block, cache=cache), *blocks[index + 1 :])
        self._extras.append(Extra(message.at("cache_control"), message.values.get("cache_control")))
        return blocks

    _READERS: ClassVar[Mapping[str, Callable[["History", Members], None]]] = {
        "system": _read_system,
        "developer": _read_system,
        "user": _read_user,
        "assistant": _read_assistant,
        "tool": _read_tool,
        "function": _read_function,
    }


def read_arguments(function: Members) -> str:
    """The verbatim JSON text of a call's arguments; blank stands for an empty object.

    Raises:
        ClientError: it is no string, no JSON, or JSON of something that is not an object.
    """
    text, path = function.text("arguments"), function.at("arguments")
    if not text.strip():
        return "{}"
    try:
        jsontext.check_object(text.encode())
    except JsonShapeError as error:
        raise wrong_value(path, "the JSON text must be an object") from error
    except JsonError as error:
        raise wrong_value(path, f"not valid JSON: {error}") from error
    return text
