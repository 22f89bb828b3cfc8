"""What the demo provider answers: one script for all vendors, so that a prompt gives the same words through each.

A user message or request header ``x-demo`` that consists of nothing but wishes steers the answer (``;`` joins them):

===================  ==============================================================================================
``error STATUS``     refuse with that HTTP status, in the vendor's own error shape (429 and 503 with ``retry-after``)
``break error``      in a stream: the vendor's in-band error after three chunks; else a 500
``break cut``        the connection is reset after three chunks (before the answer, when it is not a stream)
``break end``        in a stream: a clean end of the bytes after three chunks, without the vendor's terminator
``delay MS``         milliseconds between two chunks (default 20)
``words COUNT``      an answer of that many words
``think``            reason first
===================  ==============================================================================================
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from controller.standalone.demo.sampling import encode, sample

#: How many chunks of a broken stream arrive before it breaks.
CHUNKS_BEFORE_BREAK = 3
HEADER = "x-demo"

_WISH = re.compile(
    r"\s*(?:error\s+(?P<error>[45]\d\d)|break\s+(?P<broken>error|cut|end)|delay\s+(?P<delay>\d{1,5})(?:\s*ms)?"
    r"|words\s+(?P<words>\d{1,5})|(?P<think>think))\s*",
    re.IGNORECASE,
)
_PIECE = re.compile(r"\s*\S+")
_NAME = re.compile(r"(?<!^)(?<![.!?] )\b[A-Z][\w-]+")
_FILLER = (
    "every",
    "request",
    "finds",
    "its",
    "model",
    "and",
    "each",
    "token",
    "is",
    "counted",
    "on",
    "the",
    "way",
    "back",
)

Break = Literal["error", "cut", "end"]


class Cut(Exception):
    """The connection is to be reset here and now."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How the answer is to be given."""

    error: int | None = None
    broken: Break | None = None
    delay_s: float = 0.02
    words: int | None = None
    think: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call. ``schema`` is the JSON schema of its arguments."""

    name: str
    schema: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the script needs to know of a request.

    ``text`` is the last user text. ``tool_result`` is the newest tool result when the conversation ends with one.
    ``forced`` names the tool that must be called, ``schema`` is what the answer must be an instance of.
    ``tokens`` counts the words of everything sent, ``cached_tokens`` those a provider would have found in its cache.
    """

    text: str
    tokens: int
    cached_tokens: int = 0
    tool_result: str | None = None
    tools: tuple[Tool, ...] = ()
    forced: str | None = None
    schema: Mapping[str, Any] | None = None
    think: bool = False
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    wishes: Wishes = Wishes()


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer. ``call`` is the tool to call and its arguments as JSON text. ``ending`` is why the text ends."""

    text: str = ""
    reasoning: str = ""
    call: tuple[str, str] | None = None
    ending: Literal["end", "length", "stop"] = "end"

    @property
    def reasoning_tokens(self) -> int:
        """Words of reasoning."""
        return count(self.reasoning)

    @property
    def tokens(self) -> int:
        """Words of everything, the reasoning included."""
        return self.reasoning_tokens + count(self.text) + (count(self.call[1]) if self.call else 0)


def pieces(text: str) -> list[str]:
    """The text in tokens: words with the space before them. Joined they give the text, less space at its end."""
    return _PIECE.findall(text)


def count(text: str) -> int:
    """How many tokens a text has."""
    return len(pieces(text))


def read_wishes(*sources: str) -> Wishes:
    """The wishes in a header and a message; later sources win. A text that holds anything else holds no wishes."""
    wishes = Wishes()
    for source in sources:
        found = [_WISH.fullmatch(part) for part in source.split(";") if part.strip()]
        for match in found:
            if match is not None and None not in found:
                wishes = _with(wishes, match)
    return wishes


def _with(wishes: Wishes, match: re.Match[str]) -> Wishes:
    wish = match.groupdict()
    broken: dict[str, Break] = {"error": "error", "cut": "cut", "end": "end"}
    if wish["error"]:
        return replace(wishes, error=int(wish["error"]))
    if wish["broken"]:
        return replace(wishes, broken=broken[wish["broken"].lower()])
    if wish["delay"]:
        return replace(wishes, delay_s=int(wish["delay"]) / 1000)
    if wish["words"]:
        return replace(wishes, words=int(wish["words"]))
    return replace(wishes, think=True)


def compose(prompt: Prompt, model: str) -> Reply:
    """The answer to a prompt: a tool call where tools are given and no result is in yet, else text."""
    reasoning = (
        f"The user said {prompt.text!r}, so a short answer will do." if prompt.think or prompt.wishes.think else ""
    )
    tool = _chosen(prompt)
    if tool is not None:
        return Reply(reasoning=reasoning, call=(tool.name, encode(sample(tool.schema, subject(prompt.text)))))
    if prompt.schema is not None:
        return _limited(Reply(encode(sample(prompt.schema, subject(prompt.text))), reasoning), prompt)
    return _limited(Reply(_sentence(prompt, model), reasoning), prompt)


def subject(text: str) -> str:
    """What a sentence is about, as far as a demo can tell: its last name (``Paris``), else its last word."""
    names = _NAME.findall(text)
    words = re.findall(r"\w[\w-]*", text)
    return str((names or words or ["nothing"])[-1])


def _chosen(prompt: Prompt) -> Tool | None:
    named = [tool for tool in prompt.tools if tool.name == prompt.forced]
    if named:
        return named[0]
    return prompt.tools[0] if prompt.tools and prompt.tool_result is None else None


def _sentence(prompt: Prompt, model: str) -> str:
    if prompt.wishes.words is not None:
        return " ".join(_FILLER[i % len(_FILLER)] for i in range(prompt.wishes.words))
    if prompt.tool_result is not None:
        return f"The tool says: {prompt.tool_result}"
    return f"You said: {prompt.text} This is {model} of the demo provider, and it makes its answers up."


def _limited(reply: Reply, prompt: Prompt) -> Reply:
    text, ending = reply.text, reply.ending
    for stop in prompt.stop:
        head, found, _ = text.partition(stop)
        if found:
            text, ending = head, "stop"
    room = None if prompt.max_tokens is None else max(0, prompt.max_tokens - reply.reasoning_tokens)
    words: Sequence[str] = pieces(text)
    if room is not None and len(words) > room:
        text, ending = "".join(words[:room]), "length"
    return replace(reply, text=text, ending=ending)
