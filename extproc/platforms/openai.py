"""OpenAI itself, and every server that speaks its API under a prefix."""

from typing import Final

from extproc.platforms.contract import Platform


class OpenAIPlatform:
    """Every operation lies under the version's prefix; the model is in the body."""

    provider = "openai"
    dialect = "openai"

    def path(self, operation: str, model: str, *, stream: bool, version: str | None) -> str | None:
        """``/v1/chat/completions``; ``version`` replaces ``v1`` and may have several segments (``api/v1``)."""
        del model, stream
        prefix = (version or "v1").strip("/")
        return f"/{prefix}/{operation}" if prefix else f"/{operation}"


PLATFORM: Final[Platform] = OpenAIPlatform()
