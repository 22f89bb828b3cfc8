"""Cache marks: ``cache_control`` on what they mark.

The API takes at most four in a request, the automatic one of the whole prompt among them (unconfirmed), and none that
lives longer than one before it in the order tools, system, messages (unconfirmed). Empty text and reasoning cannot
carry one. The last marks stay, as they reach furthest. A mark is no part of what signed reasoning depends on
(https://docs.litellm.ai/docs/providers/anthropic_preserved_thinking, read 2026-11-22).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Loss
from extproc.conversation.request import Cache

MAX_MARKS: Final = 4
#: The words that the API has. OpenAI's (``30m``, ``12h``) are the least a mark may live; the default serves them.
_TTLS: Final = frozenset({"5m", "1h"})
_UNMARKABLE: Final = frozenset({"thinking", "redacted_thinking"})


class CacheMarks:
    """The marks of one request. Call ``add`` for tools and system before messages, and ``settle`` at the end."""

    def __init__(self, capabilities: Capabilities, losses: list[Loss], whole: Cache | None) -> None:
        self._capabilities = capabilities
        self._losses = losses
        self._whole = whole
        self._marks: list[tuple[dict[str, Any], str]] = []
        self._written_whole: dict[str, Any] | None = None

    def add(self, elements: list[dict[str, Any]], cache: Cache | None, path: str, *, tool: bool = False) -> None:
        """Marks the last of ``elements``; a mark on nothing says nothing."""
        if cache is None:
            return
        if not (self._capabilities.tool_cache if tool else self._capabilities.prompt_cache):
            self._losses.append(Loss(path, "drop", "the model takes no cache marks here"))
            return
        if not elements or elements[-1].get("type") in _UNMARKABLE:
            return
        element = elements[-1]
        if "cache_control" not in element:
            self._marks.append((element, path))
        element["cache_control"] = self._control(cache, path)

    def maybe_whole(self) -> dict[str, Any] | None:
        """The mark of the whole prompt, which the API puts on the last block that can have one."""
        if self._whole is not None and self._written_whole is None:
            self._written_whole = self._control(self._whole, "cache_control")
        return self._written_whole

    def settle(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Takes off what is too many and shortens what would outlive its predecessor.

        ``messages`` as they are sent: results stand before text there, wherever the client had them.
        """
        places = {id(element): place for place, element in enumerate(_elements(messages))}
        self._marks.sort(key=lambda mark: places.get(id(mark[0]), -1))
        room = MAX_MARKS - (self._whole is not None)
        surplus, kept = self._marks[:-room], self._marks[-room:]
        for element, path in surplus:
            del element["cache_control"]
            self._losses.append(Loss(path, "drop", f"the API takes {MAX_MARKS} cache marks; the last ones are kept"))
        short = False
        for element, path in kept:
            control = element["cache_control"]
            self._shorten(control, path, short=short)
            short = short or control.get("ttl") != "1h"
        if self._written_whole is not None:
            self._shorten(self._written_whole, "cache_control", short=short)

    def _shorten(self, control: dict[str, Any], path: str, *, short: bool) -> None:
        if short and control.pop("ttl", None) == "1h":
            self._losses.append(Loss(path, "approx", "a cache mark may not outlive one before it; sent with 5m"))

    def _control(self, cache: Cache, path: str) -> dict[str, Any]:
        control = {"type": "ephemeral"}
        if cache.ttl == "1h" and not self._capabilities.long_cache:
            self._losses.append(Loss(path, "approx", "the model keeps its cache for 5m only"))
        elif cache.ttl in _TTLS:
            control["ttl"] = cache.ttl
        return control


def _elements(messages: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Every block of the messages, in order; what a result consists of comes before the result's own end."""
    for message in messages:
        for element in message["content"]:
            if element["type"] == "tool_result":
                yield from element.get("content", ())
            yield element
