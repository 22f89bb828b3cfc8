"""Azure OpenAI: ``{resource}.openai.azure.com``, where a model is a deployment.

Two forms (openai-python 3.54 ``lib/azure.py``; https://learn.microsoft.com/azure/foundry/openai, read 2026-11-22):

- ``/openai/v1/chat/completions``, with the deployment as the body's model and no api-version;
- ``/openai/deployments/{deployment}/chat/completions?api-version=2024-10-21``.
"""

from typing import Final
from urllib.parse import quote

from extproc.platforms.contract import Place, Platform

#: Below a deployment; of the rest only the Responses API is there, and it takes the model from the body.
_OF_A_DEPLOYMENT: Final = frozenset(
    {
        "chat/completions",
        "completions",
        "embeddings",
        "images/generations",
        "audio/speech",
        "audio/transcriptions",
        "audio/translations",
    }
)
#: Other paths of OpenAI's that Azure does not have.
_NOWHERE: Final = frozenset({"count_tokens", "moderations", "rerank"})
#: Words for the form without an api-version.
_V1: Final = frozenset({"", "v1"})


class AzureOpenAIPlatform(Platform):
    """OpenAI's bodies as they are; only the path is Azure's. ``version`` is the api-version, none or ``v1`` for v1."""

    provider = "azure.ai.openai"
    dialect = "openai"
    fetches_urls = True

    def path(self, operation: str, place: Place) -> str | None:
        """The path of either form; a deployment's name is percent-encoded."""
        if operation in _NOWHERE:
            return None
        below = "chat/completions" if operation == "chat" else operation
        if (place.version or "") in _V1:
            return f"/openai/v1/{below}"
        query = f"api-version={quote(place.version or '', safe='')}"
        if below in _OF_A_DEPLOYMENT:
            return f"/openai/deployments/{quote(place.model, safe='')}/{below}?{query}"
        return f"/openai/{below}?{query}" if below == "responses" else None


PLATFORM: Final[Platform] = AzureOpenAIPlatform()
