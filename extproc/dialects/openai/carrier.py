"""The carrier: how a maker's reasoning travels through a client that knows nothing of it, and comes back whole.

``reasoning_details`` is OpenRouter's list, which several clients echo and openai-python keeps (tried with 3.54, as an
object and as a dict, 2026-11-22). One entry for each block of reasoning, all with an ``index``, without which the SDK's
accumulator raises; it also joins strings, so ``format`` and ``signature`` are told once. Two things are our own:

1. Signatures and redacted data say whose they are (``conversation.provenance``).
2. The ``id`` of the last entry is the *seal*, ``llmr1.<layout>.<hash>``: in which order reasoning (``r``), text
   (``t`` and its length) and calls (``c``) stood, and what text and calls were. Newer Claudes take their reasoning back
   in exactly the turn they said it in; a turn that the client has edited is found out by the hash.

3. Once a conversation has sealed turns, an answer without reasoning is sealed as well, by an entry that holds nothing
   else: a turn without a seal that comes after a sealed one has lost it, whoever left it out.

Only all of it or nothing goes back. ``thinking_blocks`` (LiteLLM's list) is read as well, without order. A maker that
signs its calls instead (Gemini) is also written and read as ``extra_content.google.thought_signature``, the name that
Google's own endpoint of this API uses. ``reasoning_content`` and ``reasoning`` are for display and never read.
"""

import re
from collections import deque
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec

from extproc.conversation.provenance import marked
from extproc.conversation.request import Cache, Text, Thinking, ToolCall, Turn
from extproc.wire import jsontext
from extproc.wire.errors import JsonError

#: A call as the client sees it: id (empty in the deprecated form), name, and arguments or text.
SeenCall = tuple[str, str, str]

_PREFIX: Final = "llmr1."
#: A text that is sealed is never empty.
_SEAL: Final = re.compile(r"llmr1\.(?P<layout>(?:r|c|t[1-9][0-9]{0,8})*+)\.(?P<hash>[0-9a-f]{16})")
_PIECE: Final = re.compile(r"([rtc])([0-9]*)")
#: Maker -> the word that OpenRouter has for its format (anthropic's and google's; the others are made alike).
_FORMATS: Final = {"anthropic": "anthropic-claude-v1", "google": "google-gemini-v1", "amazon": "amazon-nova-v1"}
_NO_FORMAT: Final = "unknown"
_canonical: Final = msgspec.json.Encoder(order="sorted").encode


def format_of(origin: str) -> str:
    """The ``format`` of the entries of an origin."""
    return _FORMATS.get(origin.partition(".")[0], _NO_FORMAT)


def maker_of(detail_format: str | None) -> str | None:
    """Whose an entry is, None when its format does not say; raises ``KeyError`` for a format that nobody here reads."""
    if detail_format is None or detail_format == _NO_FORMAT:
        return None
    return {word: maker for maker, word in _FORMATS.items()}[detail_format]


def entry(index: int, thinking: Thinking, origin: str) -> dict[str, Any]:
    """One entry of ``reasoning_details``."""
    written: dict[str, Any] = {"index": index}
    if thinking.redacted is not None:
        written |= {"type": "reasoning.encrypted", "data": _signed(thinking.redacted, origin)}
    else:
        written |= {"type": "reasoning.text", "text": thinking.text}
        if thinking.signature is not None:
            written["signature"] = _signed(thinking.signature, origin)
    written["format"] = format_of(origin)
    return written


def bare_entry(origin: str) -> dict[str, Any]:
    """The entry that carries the seal of a turn without reasoning."""
    return entry(0, Thinking(""), origin)


def seals_no_thought(seal: str) -> bool:
    """Whether the turn had no reasoning when it was sealed."""
    found = _SEAL.fullmatch(seal)
    return found is not None and "r" not in found["layout"]


def keeps_sealing(turns: Iterable[Turn], origin: str) -> bool:
    """Whether an answer to these turns is sealed even without reasoning, so that a lost seal can be told from none.

    A maker that signs its calls takes back what is left of its signatures.
    """
    if not origin or signs_calls(origin):
        return False
    return any(isinstance(block, Thinking) for turn in turns if turn.role == "assistant" for block in turn.blocks)


def extra_content(signature: str, origin: str) -> dict[str, Any]:
    """``extra_content`` of the call or message that a Gemini has signed."""
    return {"google": {"thought_signature": _signed(signature, origin)}}


def signs_calls(origin: str) -> bool:
    """Whether the maker signs what it says and calls, instead of what it thinks."""
    return origin.startswith("google.")


class Seal:
    """Takes down what a turn consists of, in order, and seals it."""

    __slots__ = ("_calls", "_end", "_layout", "_pieces", "_start", "_text_block")

    def __init__(self) -> None:
        #: Of each piece, in order: its letter, and the texts of a text.
        self._layout: list[tuple[str, list[str]]] = []
        self._calls: list[tuple[str, str, list[str]]] = []
        self._text_block: int | None = None
        self._pieces: list[str] = []
        #: Where the open text begins in the whole text, and where that ends.
        self._start = 0
        self._end = 0

    def thought(self) -> None:
        """A block of reasoning begins."""
        self._layout.append(("r", []))

    def text(self, block: int, text: str) -> None:
        """More text of a block."""
        if block != self._text_block:
            self._text_block, self._pieces, self._start = block, [], self._end
            self._layout.append(("t", self._pieces))
        self._pieces.append(text)
        self._end += len(text)

    def call(self, call_id: str, name: str) -> list[str]:
        """A call begins; its arguments are to be appended to the list."""
        arguments: list[str] = []
        self._layout.append(("c", []))
        self._calls.append((call_id, name, arguments))
        return arguments

    def place(self, block: int) -> tuple[int, int]:
        """Where the text of the open block stands in the whole text, (0, 0) if ``block`` is not open."""
        return (self._start, self._end) if block == self._text_block else (0, 0)

    def sealed(self) -> str:
        """The seal."""
        layout = "".join(letter if letter != "t" else f"t{sum(map(len, texts))}" for letter, texts in self._layout)
        content = "".join(text for _, texts in self._layout for text in texts)
        calls = ((call_id, name, "".join(arguments)) for call_id, name, arguments in self._calls)
        return f"{_PREFIX}{layout}.{_fingerprint(content, calls)}"


def maybe_arranged(
    seal: str, thoughts: Sequence[Thinking], texts: Sequence[Text], calls: Sequence[ToolCall], *, legacy: bool
) -> list[Text | Thinking | ToolCall] | None:
    """The blocks of the turn as they stood when it was sealed; None when the client has changed it since.

    ``legacy``: the one call is of the deprecated form, which has no id.
    """
    found = _SEAL.fullmatch(seal)
    if found is None:
        return None
    content = "".join(text.text for text in texts)
    seen = [("" if legacy else call.id, call.name, call.arguments) for call in calls]
    if found["hash"] != _fingerprint(content, seen):
        return None
    return _arranged(found["layout"], thoughts, content, texts, calls)


def _arranged(
    layout: str, thoughts: Sequence[Thinking], content: str, texts: Sequence[Text], calls: Sequence[ToolCall]
) -> list[Text | Thinking | ToolCall] | None:
    blocks: list[Text | Thinking | ToolCall] = []
    pieces = _PIECE.findall(layout)
    letters = [letter for letter, _ in pieces]
    lengths = [int(length) for letter, length in pieces if letter == "t"]
    if (letters.count("r"), letters.count("c"), sum(lengths)) != (len(thoughts), len(calls), len(content)):
        return None
    thought, call, position = iter(thoughts), iter(calls), 0
    marks = _marks(texts)
    for letter, length in pieces:
        if letter == "r":
            blocks.append(next(thought))
        elif letter == "c":
            blocks.append(next(call))
        else:
            end = position + int(length)
            mark = None
            while marks and marks[0][0] <= end:
                mark = marks.popleft()[1]
            blocks.append(Text(content[position:end], texts[0].path, cache=mark))
            position = end
    return blocks


def _marks(texts: Sequence[Text]) -> deque[tuple[int, Cache]]:
    """The client's cache marks by where in the whole text they stand; each goes to the piece that reaches it."""
    marks: deque[tuple[int, Cache]] = deque()
    end = 0
    for text in texts:
        end += len(text.text)
        if text.cache is not None:
            marks.append((end, text.cache))
    return marks


def _fingerprint(content: str, calls: Iterable[SeenCall]) -> str:
    """A hash of what was said and called. Arguments count by their values, as clients may write them anew."""
    seen = [content, *([call_id, name, _value_of(arguments)] for call_id, name, arguments in calls)]
    return sha256(_canonical(seen)).hexdigest()[:16]


def _value_of(arguments: str) -> Any:
    """The value, whatever its spelling; text that is no JSON, or costs too much to read, stands for itself."""
    if not arguments.strip():
        return {}
    try:
        return msgspec.Raw(_canonical(jsontext.parse(arguments.encode())))
    except (JsonError, UnicodeError, RecursionError):
        return arguments


def _signed(signature: str, origin: str) -> str:
    """A signature with its origin. An empty one is none, and an origin without a maker is nobody's."""
    return marked(signature, origin) if origin and signature else signature
