"""The ids that tie a client's results to its calls, where the upstream's own are not of Anthropic's alphabet.

Kimi and its servers write ``functions.Bash:0``, and want it back. Anthropic's API takes letters, digits, ``_`` and
``-`` (github.com/maximhq/bifrost #5097), so a conversation that went on there would fail. The client therefore gets a
spelling of the id, which is read again when it comes back; an id that is too long for that gets a name for good.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from extproc.dialects.anthropic.upstream.ids import upstream_id

_PREFIX: Final = "llmr1_"
_SPELLED: Final = re.compile(_PREFIX + r"([a-zA-Z0-9_-]{1,58})")
#: What 58 digits of base64 hold.
_MAX_BYTES: Final = 43


def told_id(call_id: str) -> str:
    """The id as a client gets it: itself, its spelling, or a name derived from it; always the same."""
    if upstream_id(call_id) == call_id:
        return call_id
    raw = call_id.encode()
    if not 0 < len(raw) <= _MAX_BYTES:
        return upstream_id(call_id)
    return _PREFIX + urlsafe_b64encode(raw).decode().rstrip("=")


def given_id(told: str) -> str:
    """The upstream's own id for one that the client gives back; any other is itself."""
    found = _SPELLED.fullmatch(told)
    if found is None:
        return told
    digits = found[1]
    try:
        call_id = urlsafe_b64decode(digits + "=" * (-len(digits) % 4)).decode()
    except ValueError:
        return told
    return call_id if told_id(call_id) == told else told
