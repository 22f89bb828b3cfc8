"""Equal things in equal bytes."""

import json
from hashlib import sha256
from typing import Any


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(value: Any) -> str:
    """Twelve hex digits that tell one value from another: enough for one installation, short enough to read."""
    return digest_of(canonical(value))


def digest_of(*parts: bytes) -> str:
    """The same for values that are bytes already."""
    return sha256(b"\0".join(parts)).hexdigest()[:12]
