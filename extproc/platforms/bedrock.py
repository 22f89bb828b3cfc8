"""AWS Bedrock: ``bedrock-runtime.{region}.amazonaws.com``, the model in the path.

Paths: botocore 1.44 ``bedrock-runtime`` (2026-11-22). A model id may be an ARN, so every reserved character in it is
percent-encoded, as botocore does (``:`` is ``%3A``, ``/`` is ``%2F``).
"""

from urllib.parse import quote

from extproc.platforms.contract import Place, Platform


class BedrockPlatform(Platform):
    """See ``extproc.platforms.contract.Platform``."""

    provider = "aws.bedrock"
    dialect = "bedrock"
    hosted = True

    def path(self, operation: str, place: Place) -> str | None:
        """Converse or ConverseStream; None for anything but chat. There is one version of the API."""
        if operation != "chat":
            return None
        return f"/model/{quote(place.model, safe='')}/{'converse-stream' if place.stream else 'converse'}"


PLATFORM: Platform = BedrockPlatform()
