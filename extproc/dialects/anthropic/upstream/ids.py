"""The ids that tie calls to results, the names of tools, and JSON that is embedded as it stands."""

import re
from hashlib import sha256
from typing import Final

import msgspec

from extproc.conversation.errors import Refusal
from extproc.wire import jsontext
from extproc.wire.errors import JsonError

_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
# Guides say 64 characters; the API takes 128 (unconfirmed).
_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")


def upstream_id(call_id: str) -> str:
    """The id as Anthropic takes it: itself, or a name derived from it, the same for the call and its result.

    Charset: github.com/maximhq/bifrost #5097.
    """
    if _ID.fullmatch(call_id):
        return call_id
    return "tu_" + sha256(call_id.encode()).hexdigest()[:32]


def checked_name(name: str, path: str) -> str:
    """``name``, or ``Refusal``: a renamed tool would come back under a name that the client does not know."""
    if not _NAME.fullmatch(name):
        raise Refusal(path, "Anthropic takes tool names of 1 to 128 letters, digits, _ and -; rename the tool")
    return name


def embedded_object(text: str, path: str) -> msgspec.Raw:
    """JSON text for embedding as it is, number literals and all; raises ``Refusal`` unless it is one object."""
    encoded = text.encode() if text.strip() else b"{}"
    try:
        jsontext.check_object(encoded)
    except JsonError as error:
        raise Refusal(path, "Anthropic takes a JSON object here") from error
    return msgspec.Raw(encoded)
