"""Ids and names that tie calls to results.

Models of the third generation give each call an id and want it back in the result; older ones give none and go by the
order of calls and results (BerriAI/litellm #34603, router-for-me/CLIProxyAPI #5199). Clients need one always.
"""

import re
from hashlib import sha256
from typing import Final

from extproc.conversation.errors import Refusal

#: Begins the ids that the gateway makes up, so that no model sees one that it never gave.
_MADE_UP: Final = "gemcall_"
_HEX_DIGITS: Final = 24
_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")


def made_up_id(seed: bytes, position: int) -> str:
    """An id for the call at ``position`` of the answer that ``seed`` stands for: the same for the same bytes."""
    return _MADE_UP + sha256(seed + position.to_bytes(4, "big")).hexdigest()[:_HEX_DIGITS]


def maybe_upstream_id(call_id: str) -> str | None:
    """The id as a model that uses ids may see it; None for one that the gateway made up."""
    return None if call_id.startswith(_MADE_UP) else call_id


def checked_name(name: str, path: str) -> str:
    """``name``, or ``Refusal``: a renamed tool would come back under a name that the client does not know."""
    if not _NAME.fullmatch(name):
        wanted = "tool names of 1 to 128 letters, digits, _ . : and -, the first a letter or _"
        raise Refusal(path, f"Gemini takes {wanted}; rename the tool")
    return name
