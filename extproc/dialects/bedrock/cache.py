"""Cache points: elements of their own, right after what they mark.

The service takes at most four in a request, and none that lives longer than one before it, in the order tools, system,
messages (https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html, 2026-11-22). A fifth would be a 400:
the last four stay, as they reach furthest.
"""

from collections.abc import Iterable
from typing import Any

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Loss
from extproc.conversation.request import Cache

MAX_POINTS = 4

# The client's word -> what Converse has. A lifetime between the two gets the longer one.
_TTLS = {None: None, "5m": "5m", "1h": "1h", "30m": "1h", "12h": "1h", "24h": "1h"}


class CachePoints:
    """The cache points of one request. Call ``add`` in the order tools, system, messages, and ``settle`` at the end."""

    def __init__(self, capabilities: Capabilities, losses: list[Loss]) -> None:
        self._capabilities = capabilities
        self._losses = losses
        self._points: list[tuple[dict[str, Any], str]] = []

    def add(self, elements: list[dict[str, Any]], cache: Cache | None, path: str, *, tool: bool = False) -> None:
        """Marks what ``elements`` holds so far; a mark on nothing, or beside another, says nothing new."""
        if cache is None:
            return
        if not (self._capabilities.tool_cache if tool else self._capabilities.prompt_cache):
            where = " among tools" if self._capabilities.prompt_cache else ""
            self._losses.append(Loss(path, "drop", f"the model takes no cache points{where}"))
            return
        if not elements or "cachePoint" in elements[-1]:
            return
        point: dict[str, Any] = {"type": "default"}
        if ttl := self._lifetime(cache.ttl, path):
            point["ttl"] = ttl
        element = {"cachePoint": point}
        elements.append(element)
        self._points.append((element, path))

    def settle(self, containers: Iterable[list[dict[str, Any]]]) -> None:
        """Takes out what is too many and shortens what would outlive its predecessor."""
        surplus = self._points[:-MAX_POINTS]
        if surplus:
            dropped = {id(element) for element, _ in surplus}
            for container in containers:
                container[:] = [element for element in container if id(element) not in dropped]
            reason = f"Bedrock takes {MAX_POINTS} cache points a request; the last ones are kept"
            self._losses += [Loss(path, "drop", reason) for _, path in surplus]
        short = False
        for element, path in self._points[-MAX_POINTS:]:
            point = element["cachePoint"]
            if short and point.pop("ttl", None) == "1h":
                self._losses.append(Loss(path, "approx", "a cache point may not outlive one before it; sent with 5m"))
            short = short or point.get("ttl") != "1h"

    def _lifetime(self, asked: str | None, path: str) -> str | None:
        known = _TTLS.get(asked, "1h")
        if not self._capabilities.long_cache:
            if known == "1h":
                self._losses.append(Loss(path, "approx", "the model keeps its cache for 5m only"))
            return None
        if known != asked:
            self._losses.append(Loss(path, "approx", f"Bedrock keeps a cache for 5m or 1h; sent with {known}"))
        return known
