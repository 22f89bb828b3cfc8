"""Azure OpenAI: ``{resource}.openai.azure.com``, where a model is a deployment.

Two forms (openai-python 3.54 ``lib/azure.py``; https://learn.microsoft.com/azure/foundry/openai, read 2026-11-22):

- ``/openai/v1/chat/completions``, with the deployment as the body's model and no api-version, or ``preview``;
- ``/openai/deployments/{deployment}/chat/completions?api-version=2024-10-21``.
"""

from typing import Final
from urllib.parse import quote

from extproc.platforms.contract import Place, Platform
from extproc.platforms.segments import checked_segment

#: Below a deployment; of the rest only the Responses API is there, and it takes the model from the body.
_OF_A_DEPLOYMENT: Final = frozenset(
    {
        "chat/completions",
        "completions",
        "embeddings",
        "images/generations",
        "images/edits",
        "audio/speech",
        "audio/transcriptions",
        "audio/translations",
    }
)
#: Other paths of OpenAI's that Azure does not have.
_NOWHERE: Final = frozenset({"count_tokens", "moderations", "rerank"})
#: Words for the form without a dated api-version. ``preview`` opts in to what of v1 is not final yet.
_V1: Final = frozenset({"", "v1"})
_PREVIEW: Final = "preview"


class AzureOpenAIPlatform(Platform):
    """OpenAI's bodies; only the path is Azure's. ``version``: an api-version, ``v1``, ``preview`` or none."""

    provider = "azure.ai.openai"
    dialect = "openai"
    fetches_urls = True
    key_header = "api-key"

    def path(self, operation: str, place: Place) -> str | None:
        """The path of either form; a deployment's name is percent-encoded."""
        if operation in _NOWHERE:
            return None
        below = "chat/completions" if operation == "chat" else operation
        if (place.version or "") in _V1:
            return f"/openai/v1/{below}"
        if place.version == _PREVIEW:
            return f"/openai/v1/{below}?api-version=preview"
        query = f"api-version={quote(place.version or '', safe='')}"
        if below in _OF_A_DEPLOYMENT:
            return f"/openai/deployments/{checked_segment(place.model)}/{below}?{query}"
        return f"/openai/{below}?{query}" if below == "responses" else None


PLATFORM: Final[Platform] = AzureOpenAIPlatform()
