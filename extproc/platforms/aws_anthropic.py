"""Anthropic's Messages API on AWS Bedrock: InvokeModel instead of Converse.

Facts (2026-11-22): botocore 1.44 ``InvokeModel``, ``InvokeModelWithResponseStream`` and ``CountTokens``; anthropic SDK
2.12 ``lib/bedrock``; docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html.
The body is a Messages body whose model is in the path, whose version and betas are members instead of headers, and
whose streams are Messages events inside frames of AWS's own.
"""

import base64
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from extproc.conversation.errors import Loss
from extproc.dialects.bedrock.betas import INVOKE, split_betas
from extproc.dialects.bedrock.models import countable_model
from extproc.platforms.anthropic_body import Body, api_version, is_messages_error
from extproc.platforms.anthropic_versions import fitted
from extproc.platforms.contract import Dressed, Place, Platform, Unframer
from extproc.platforms.invoke_stream import InvokeUnframer
from extproc.platforms.segments import checked_segment

_VERSION: Final = "bedrock-2023-05-31"
_REMOVED: Final = ("anthropic-version", "anthropic-beta")


class AWSAnthropicPlatform(Platform):
    """See ``extproc.platforms.contract.Platform``. ``version`` is the body's ``anthropic_version``."""

    provider = "aws.bedrock"
    dialect = "anthropic"
    stream_content_type = "application/vnd.amazon.eventstream"
    hosted = True

    def path(self, operation: str, place: Place) -> str | None:
        """InvokeModel in its two forms, or CountTokens. Raises ``ClientError`` for a name that is no path segment."""
        if operation == "chat":
            verb = "invoke-with-response-stream" if place.stream else "invoke"
            return f"/model/{checked_segment(place.model)}/{verb}"
        if operation == "count_tokens":
            return f"/model/{checked_segment(countable_model(place.model))}/count-tokens"
        return None

    def version(self, version: str | None) -> str | None:
        """Anthropic's own version with the same rules; never the client's (test ``anthropic_version_isolated``)."""
        return api_version(version)

    def dress(self, body: bytes, headers: Mapping[str, str], operation: str, place: Place) -> Dressed:
        """The InvokeModel body; around it the envelope of CountTokens, which wants it whole, limit and all.

        Raises ``ClientError`` for a body that is no JSON object, or that the version does not take.
        """
        told, cut = fitted(body, headers.get("anthropic-version"), api_version(place.version))
        members = Body(told)
        betas, lost = split_betas([*members.betas(), *header_betas(headers)], INVOKE)
        members.drop("model", "stream", "anthropic_beta")
        members.put_first("anthropic_version", place.version or _VERSION)
        if betas:
            members.put("anthropic_beta", betas)
        unknown = (Loss("anthropic-beta", "drop", f"Bedrock does not know {len(lost)} of the betas"),) if lost else ()
        losses = (*cut, *unknown)
        if operation == "count_tokens":
            if "max_tokens" not in members:
                members.put("max_tokens", members.thinking_budget() + 1)
            whole = base64.b64encode(members.encode()).decode()
            counted = msgspec.json.encode({"input": {"invokeModel": {"body": whole}}})
            return Dressed(counted, remove_headers=_REMOVED, losses=losses)
        return Dressed(members.encode(), remove_headers=_REMOVED, losses=losses)

    def undress(self, body: bytes, operation: str) -> bytes:
        """CountTokens says ``inputTokens``; other answers are Anthropic's as they are."""
        if operation != "count_tokens":
            return body
        try:
            counted = msgspec.json.decode(body, type=dict[str, Any]).get("inputTokens")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return body
        return body if counted is None else msgspec.json.encode({"input_tokens": counted})

    def maybe_unframer(self) -> Unframer | None:
        """Takes Messages events out of their frames."""
        return InvokeUnframer()

    def error_dialect(self, headers: Mapping[str, str], body: bytes) -> str:
        """AWS's own form, unless the body is plainly Anthropic's."""
        return self.dialect if "x-amzn-errortype" not in headers and is_messages_error(body) else "bedrock"


def header_betas(headers: Mapping[str, str]) -> list[str]:
    """The values of ``anthropic-beta``, which is a comma list."""
    return [beta.strip() for beta in headers.get("anthropic-beta", "").split(",")]


PLATFORM: Final[Platform] = AWSAnthropicPlatform()
