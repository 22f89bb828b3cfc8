"""Content blocks: the leaves of messages, one reader for each type.

Facts: anthropic-python 2.12 ``types/*_block_param``, read 2026-11-22. Types that only Anthropic's own servers can fill
(server tools, code execution, MCP, compaction ...) are kept as essential extras: an upstream of another maker refuses
them, as leaving them out would change what was said.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, Final

import msgspec
from msgspec.structs import replace

from extproc.conversation.provenance import unmarked
from extproc.conversation.request import (
    Block,
    Cache,
    Citation,
    Document,
    Extra,
    Image,
    SearchResult,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from extproc.dialects.anthropic.citations import maybe_citation
from extproc.dialects.anthropic.client.ids import given_id
from extproc.dialects.fields import Members, missing, read_base64, unknown_word, wrong_type, wrong_value

MAX_BLOCKS: Final = 2_000
"""Of one message. A guess: the API takes some hundred images or documents in a request."""

BlockReader = Callable[["Blocks", Members], Block | None]

#: Whose a signature is that nobody marked: an answer passed through untouched, so Anthropic made it.
_ORIGIN: Final = "anthropic"
_EPHEMERAL: Final = {"ephemeral": "ephemeral"}
_IMAGE_TYPES: Final = {word: word for word in ("image/jpeg", "image/png", "image/gif", "image/webp")}
_IMAGE_SOURCES: Final = {word: word for word in ("base64", "url", "file")}
_DOCUMENT_SOURCES: Final = {word: word for word in ("base64", "text", "content", "url", "file")}
_PDF: Final = {"application/pdf": "application/pdf"}
_PLAIN: Final = {"text/plain": "text/plain"}


class _Input(msgspec.Struct):
    input: msgspec.Raw = msgspec.Raw()


_entries: Final = msgspec.json.Decoder(list[msgspec.Raw])
_input: Final = msgspec.json.Decoder(_Input)


def read_cache(members: Members) -> Cache | None:
    """``cache_control`` of a node."""
    control = members.maybe_object("cache_control")
    if control is None:
        return None
    control.word("type", _EPHEMERAL)
    return Cache(control.maybe_text("ttl"))


class Blocks:
    """Reads the content of messages; ``strict``: by the rules of version 2026-10-21."""

    def __init__(self, extras: list[Extra], *, strict: bool) -> None:
        self._extras = extras
        self._strict = strict
        #: The message's blocks as they were written.
        self._raws: list[msgspec.Raw] = []

    def read_message(self, message: Members, raw: msgspec.Raw | None) -> tuple[Block, ...]:
        """The content of a user or assistant message; ``raw`` is its text, for messages that hold tool calls."""
        self._raws = _entries.decode(raw) if raw is not None else []
        readers = self._ASSISTANT if message.values.get("role") == "assistant" else self._USER
        return self._read(message, "content", readers)

    def read_texts(self, owner: Members, name: str) -> tuple[Text, ...]:
        """Text alone: system prompts and system messages."""
        return tuple(block for block in self._read(owner, name, self._TEXT) if isinstance(block, Text))

    def _read(self, owner: Members, name: str, readers: Mapping[str, BlockReader]) -> tuple[Block, ...]:
        content, path = owner.values.get(name), owner.at(name)
        if isinstance(content, str):
            return (Text(content, path),)
        if content is None:
            raise missing(path, "a string or an array of content blocks")
        if not isinstance(content, list):
            raise wrong_type(path, "a string or an array of content blocks", content)
        if len(content) > MAX_BLOCKS:
            raise wrong_value(path, f"holds {len(content)} content blocks; at most {MAX_BLOCKS} are translated")
        blocks = (self._block(Members(entry, f"{path}[{i}]"), readers) for i, entry in enumerate(content))
        return tuple(block for block in blocks if block is not None)

    def _block(self, block: Members, readers: Mapping[str, BlockReader]) -> Block | None:
        word = block.text("type")
        reader = readers.get(word)
        if reader is not None:
            return reader(self, block)
        if word in self._ALL:
            raise unknown_word(block.at("type"), word, readers)
        self._extras.append(Extra(block.path, block.values, essential=True))
        return None

    def _note(self, members: Members, known: frozenset[str]) -> None:
        self._extras.extend(members.unknown(known))

    def _text(self, block: Members) -> Text:
        self._note(block, _TEXT_MEMBERS)
        told: list[Citation] = []
        for value in block.objects("citations"):
            citation = maybe_citation(value.values)
            if citation is None:
                self._extras.append(Extra(value.path, value.values))
            else:
                told.append(citation)
        return Text(block.text("text"), block.path, cache=read_cache(block), citations=tuple(told))

    def _user_text(self, block: Members) -> Text:
        if self._strict and block.objects("citations"):
            raise wrong_value(block.at("citations"), "stands only on the assistant's text from version 2026-10-21 on")
        return self._text(block)

    def _image(self, block: Members) -> Image:
        self._note(block, _IMAGE_MEMBERS)
        if block.values.get("transformations") is not None:
            self._extras.append(Extra(block.at("transformations"), None, harmless=True))
        source, cache = block.object("source"), read_cache(block)
        match source.word("type", _IMAGE_SOURCES):
            case "base64":
                media_type = source.word("media_type", _IMAGE_TYPES)
                return Image(block.path, media_type=media_type, data=_base64(source), cache=cache)
            case "url":
                return Image(block.path, url=source.name("url"), cache=cache)
            case _:
                return Image(block.path, file_id=source.name("file_id"), cache=cache)

    def _document(self, block: Members) -> Document:
        self._note(block, _DOCUMENT_MEMBERS)
        source = block.object("source")
        document = Document(
            block.path,
            filename=block.maybe_text("title"),
            context=block.maybe_text("context"),
            citations=_asks_citations(block),
            cache=read_cache(block),
        )
        match source.word("type", _DOCUMENT_SOURCES):
            case "base64":
                return replace(document, media_type=source.word("media_type", _PDF), data=_base64(source))
            case "text":
                source.word("media_type", _PLAIN)
                return replace(document, text=source.text("data"))
            case "content":
                blocks = self._read(source, "content", self._DOCUMENT_CONTENT)
                return replace(document, blocks=tuple(b for b in blocks if isinstance(b, Text | Image)))
            case "url":
                return replace(document, url=source.name("url"))
            case _:
                return replace(document, file_id=source.name("file_id"))

    def _assistant_document(self, block: Members) -> Document:
        if self._strict:
            raise wrong_value(block.path, "a document cannot stand in an assistant message from version 2026-10-21 on")
        return self._document(block)

    def _search_result(self, block: Members) -> SearchResult:
        self._note(block, _SEARCH_MEMBERS)
        texts = self.read_texts(block, "content")
        source, title = block.text("source"), block.text("title")
        return SearchResult(block.path, source, title, texts, _asks_citations(block), read_cache(block))

    def _call(self, block: Members) -> ToolCall:
        self._note(block, _CALL_MEMBERS)
        caller = block.maybe_object("caller")
        if caller is not None and caller.values.get("type") != "direct":
            self._extras.append(Extra(caller.path, caller.values, essential=True))
        if block.values.get("toolset_name") is not None:
            self._extras.append(Extra(block.at("toolset_name"), block.values["toolset_name"], essential=True))
        block.object("input")
        position = int(block.path.rpartition("[")[2][:-1])
        arguments = bytes(_input.decode(self._raws[position]).input).decode()
        return ToolCall(block.path, given_id(block.name("id")), block.name("name"), arguments, read_cache(block))

    def _result(self, block: Members) -> ToolResult:
        self._note(block, _RESULT_MEMBERS)
        if block.values.get("toolset_name") is not None:
            self._extras.append(Extra(block.at("toolset_name"), block.values["toolset_name"], essential=True))
        content: list[Text | Image | Document | SearchResult] = []
        marks: list[Cache] = []
        for inner in self._read(block, "content", self._RESULT) if block.values.get("content") is not None else ():
            if isinstance(inner, Text | Image | Document | SearchResult):
                # Targets mark a result as a whole, so the last mark inside it stands for its end.
                marks += [inner.cache] if inner.cache else []
                content.append(replace(inner, cache=None) if inner.cache else inner)
        mark = read_cache(block)
        return ToolResult(
            block.path,
            given_id(block.name("tool_use_id")),
            tuple(content),
            is_error=block.maybe_boolean("is_error") is True,
            cache=mark or (marks[-1] if marks else None),
        )

    def _thinking(self, block: Members) -> Thinking:
        self._note(block, _THINKING_MEMBERS)
        signature, origin = unmarked(block.text("signature"), _ORIGIN)
        return Thinking(block.path, block.text("thinking"), signature, origin=origin)

    def _redacted(self, block: Members) -> Thinking:
        self._note(block, _REDACTED_MEMBERS)
        data, origin = unmarked(block.name("data"), _ORIGIN)
        return Thinking(block.path, redacted=data, origin=origin)

    _TEXT: ClassVar[Mapping[str, BlockReader]] = {"text": _text}
    _DOCUMENT_CONTENT: ClassVar[Mapping[str, BlockReader]] = {"text": _text, "image": _image}
    _RESULT: ClassVar[Mapping[str, BlockReader]] = {
        "text": _text,
        "image": _image,
        "document": _document,
        "search_result": _search_result,
    }
    _USER: ClassVar[Mapping[str, BlockReader]] = {**_RESULT, "text": _user_text, "tool_result": _result}
    _ASSISTANT: ClassVar[Mapping[str, BlockReader]] = {
        "text": _text,
        "document": _assistant_document,
        "tool_use": _call,
        "thinking": _thinking,
        "redacted_thinking": _redacted,
    }
    #: What has a neutral form somewhere; other types are Anthropic's alone.
    _ALL: ClassVar[frozenset[str]] = frozenset({*_USER, *_ASSISTANT})


def _base64(source: Members) -> str:
    return read_base64(source.text("data"), source.at("data"))


def _asks_citations(block: Members) -> bool:
    asked = block.maybe_object("citations")
    return asked is not None and asked.maybe_boolean("enabled") is True


def _members(names: Iterable[str]) -> frozenset[str]:
    return frozenset({"type", "cache_control", *names})


_TEXT_MEMBERS: Final = _members(("text", "citations"))
_IMAGE_MEMBERS: Final = _members(("source", "transformations"))
_DOCUMENT_MEMBERS: Final = _members(("source", "title", "context", "citations"))
_SEARCH_MEMBERS: Final = _members(("source", "title", "content", "citations"))
_CALL_MEMBERS: Final = _members(("id", "name", "input", "caller", "toolset_name"))
_RESULT_MEMBERS: Final = _members(("tool_use_id", "content", "is_error", "toolset_name"))
_THINKING_MEMBERS: Final = frozenset({"type", "thinking", "signature"})
_REDACTED_MEMBERS: Final = frozenset({"type", "data"})
