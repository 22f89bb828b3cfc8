"""Anthropic's Messages API on Google Cloud's Vertex AI.

Facts (2026-11-22): anthropic SDK 2.12 ``lib/vertex``;
https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude. The body is a Messages body
whose model is in the path and whose version is a member; betas stay a header, and streams are Anthropic's own.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from extproc.platforms.anthropic_body import Body, api_version
from extproc.platforms.anthropic_versions import fitted
from extproc.platforms.contract import Dressed, Place, Platform
from extproc.platforms.segments import checked_segment

_VERSION: Final = "vertex-2023-10-16"
#: What Google's gateways call themselves when no model came into it: a name for "the one that is current".
_ALIASES: Final = ("@default", "@latest")
_DECODER: Final = msgspec.json.Decoder()


class GCPAnthropicPlatform(Platform):
    """See ``extproc.platforms.contract.Platform``. ``version`` is the body's ``anthropic_version``."""

    provider = "gcp.vertex_ai"
    dialect = "anthropic"
    hosted = True

    def path(self, operation: str, place: Place) -> str | None:
        """``rawPredict`` in its two forms; tokens are counted by a model of that name.

        Without a project the path has none, and Google answers 404: what signs the request may still put it there.
        """
        if operation not in {"chat", "count_tokens"}:
            return None
        within = ""
        if place.project is not None:
            within = (
                f"/projects/{quote(place.project, safe=':')}/locations/{quote(place.location or 'global', safe='')}"
            )
        models = f"/v1{within}/publishers/anthropic/models/"
        if operation == "count_tokens":
            return f"{models}count-tokens:rawPredict"
        return (
            f"{models}{checked_segment(place.model, safe='@')}:{'streamRawPredict' if place.stream else 'rawPredict'}"
        )

    def version(self, version: str | None) -> str | None:
        """Anthropic's own version with the same rules; never the client's (test ``anthropic_version_isolated``)."""
        return api_version(version)

    def dress(self, body: bytes, headers: Mapping[str, str], operation: str, place: Place) -> Dressed:
        """The same body with the version in it, and without the model unless it is the counter that is asked.

        Raises ``ClientError`` for a body that is no JSON object, or that the version does not take.
        """
        told, losses = fitted(body, headers.get("anthropic-version"), api_version(place.version))
        members = Body(told)
        if operation == "count_tokens":
            model = place.model
            for alias in _ALIASES:
                model = model.removesuffix(alias)
            members.put("model", model)
        else:
            members.drop("model")
        members.put_first("anthropic_version", place.version or _VERSION)
        return Dressed(members.encode(), remove_headers=("anthropic-version",), losses=losses)

    def error_dialect(self, headers: Mapping[str, str], body: bytes) -> str:
        """Google's own form (an object with a numeric code, or a list of one such) is Gemini's; else Anthropic's."""
        del headers
        return "gemini" if _is_google_error(body) else self.dialect


def _is_google_error(body: bytes) -> bool:
    try:
        told: Any = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if isinstance(told, list) and told:
        told = told[0]
    error = told.get("error") if isinstance(told, dict) else None
    return isinstance(error, dict) and isinstance(error.get("code"), int) and told.get("type") != "error"


PLATFORM: Final[Platform] = GCPAnthropicPlatform()
