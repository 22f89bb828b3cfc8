"""Equal things in equal bytes."""

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

#: Characters of a file's name, which is a key of a Secret as well.
_LONGEST_NAME: Final = 253


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(value: Any) -> str:
    """Twelve hex digits that tell one value from another: enough for one installation, short enough to read."""
    return digest_of(canonical(value))


def file_name(labels: Sequence[str], said: Any) -> str:
    """The name of a file with a secret; what is said of the secret has a part in it, its value has none.

    The first label is a namespace, or starts with ``_``, which no namespace does: files of two kinds never meet.
    """
    name = ".".join((*labels, sha256(canonical(said)).hexdigest()[:16]))
    return name if len(name) <= _LONGEST_NAME else sha256(name.encode()).hexdigest()[:32]


def digest_of(*parts: bytes) -> str:
    """The same for values that are bytes already."""
    return sha256(b"\0".join(parts)).hexdigest()[:12]
