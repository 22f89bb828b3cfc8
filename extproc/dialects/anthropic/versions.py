"""``anthropic-version``: the words that a client or an upstream speaks by.

``2026-10-21`` is the first version after ``2023-06-01``: temperature, top_p and top_k are refused, even at their
defaults, and so are documents in assistant messages and citations on user text
(platform.claude.com/docs/en/api/migration-2026-10-21, read 2026-11-22).
"""

import re
from typing import Final

#: What is spoken where nobody says: older models take sampling values by it.
DEFAULT_VERSION: Final = "2023-06-01"
_STRICT: Final = "2026-10-21"
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


def is_strict(version: str | None) -> bool:
    """Whether the rules of 2026-10-21 hold; a cloud's own word (``bedrock-2023-05-31``) stands for the older ones."""
    return version is not None and _DATE.fullmatch(version) is not None and version >= _STRICT
