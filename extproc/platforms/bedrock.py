"""AWS Bedrock: ``bedrock-runtime.{region}.amazonaws.com``, the model in the path.

Paths: botocore 1.44 ``bedrock-runtime`` (2026-11-22). A model id may be an ARN, so every reserved character in it is
percent-encoded, as botocore does (``:`` is ``%3A``, ``/`` is ``%2F``). Embeddings have no API of their own: InvokeModel
takes each family's own body.
"""

from extproc.dialects.bedrock.models import bare_model_id, countable_model
from extproc.platforms.contract import Place, Platform
from extproc.platforms.segments import checked_segment


class BedrockPlatform(Platform):
    """See ``extproc.platforms.contract.Platform``."""

    provider = "aws.bedrock"
    dialect = "bedrock"
    hosted = True

    def path(self, operation: str, place: Place) -> str | None:
        """Converse or ConverseStream, CountTokens, InvokeModel for embeddings. There is one version of the API."""
        match operation:
            case "chat":
                return _path(place.model, "converse-stream" if place.stream else "converse")
            case "count_tokens":
                return _path(countable_model(place.model), "count-tokens")
            case "embeddings" if self.embeddings_dialect(place.model):
                return _path(place.model, "invoke")
        return None

    def embeddings_dialect(self, model: str) -> str | None:
        """By the family that the id names; of an ARN that hides its model nothing is known."""
        bare = bare_model_id(model)
        return next((dialect for prefix, dialect in _EMBEDDINGS if bare.startswith(prefix)), None)


_EMBEDDINGS = (
    ("amazon.titan-embed-text", "titan"),
    ("amazon.titan-embed-g1-text", "titan"),
    ("cohere.embed-", "cohere"),
)


def _path(model: str, verb: str) -> str:
    return f"/model/{checked_segment(model)}/{verb}"


PLATFORM: Platform = BedrockPlatform()
