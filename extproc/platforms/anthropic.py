"""Anthropic itself, and every server that speaks its API under a prefix.

``outputSchema.version`` says two things, each optional, in this order: the path before the operations (``v1`` when
absent), and the value of ``anthropic-version``, which is a date. ``anthropic/v1/2026-10-21`` has both.
"""

import re
from collections.abc import Mapping
from typing import Final

from extproc.platforms.anthropic_versions import fitted
from extproc.platforms.contract import Dressed, Place, Platform

#: What is spoken where neither the backend nor the client says (docs.anthropic.com/en/api/versioning, 2026-11-22).
_DEFAULT_VERSION: Final = "2023-06-01"
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_OPERATIONS: Final[Mapping[str, str]] = {"chat": "messages", "count_tokens": "messages/count_tokens"}


def _split(version: str | None) -> tuple[str, str | None]:
    """The prefix without outer slashes, and the date."""
    prefix, _, last = ("/" + (version or "").strip("/")).rpartition("/")
    if not _DATE.fullmatch(last):
        prefix, last = f"{prefix}/{last}", ""
    prefix = prefix.strip("/")
    return prefix or "v1", last or None


class AnthropicPlatform(Platform):
    """See ``extproc.platforms.contract.Platform``; the model is in the body."""

    provider = "anthropic"
    dialect = "anthropic"
    fetches_urls = True
    key_header = "x-api-key"

    def path(self, operation: str, place: Place) -> str | None:
        """``/v1/messages`` and ``/v1/messages/count_tokens``; None for anything else."""
        below = _OPERATIONS.get(operation)
        return None if below is None else f"/{_split(place.version)[0]}/{below}"

    def version(self, version: str | None) -> str | None:
        """``anthropic-version``, None where the backend leaves it to the client."""
        return _split(version)[1]

    def dress(self, body: bytes, headers: Mapping[str, str], operation: str, place: Place) -> Dressed:
        """The body with the version that the backend demands, else the client's, else the oldest.

        Raises ``ClientError`` for what the client's version, or the backend's own, does not take.
        """
        del operation
        spoken = headers.get("anthropic-version")
        wanted = _split(place.version)[1] or spoken or _DEFAULT_VERSION
        told, losses = fitted(body, spoken, wanted)
        return Dressed(told, () if wanted == spoken else (("anthropic-version", wanted),), losses=losses)


PLATFORM: Final[Platform] = AnthropicPlatform()
