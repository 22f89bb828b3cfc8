"""OpenAI itself, and every server that speaks its API under a prefix."""

from typing import Final

from extproc.platforms.contract import Place, Platform


class OpenAIPlatform(Platform):
    """Every operation lies under the version's prefix; the model is in the body."""

    provider = "openai"
    dialect = "openai"
    fetches_urls = True

    def path(self, operation: str, place: Place) -> str | None:
        """``/v1/chat/completions``; ``version`` replaces ``v1`` and may have several segments (``api/v1``)."""
        if operation == "count_tokens":
            return None
        prefix = (place.version or "v1").strip("/")
        below = "chat/completions" if operation == "chat" else operation
        return f"/{prefix}/{below}" if prefix else f"/{below}"


PLATFORM: Final[Platform] = OpenAIPlatform()
