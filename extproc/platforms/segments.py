"""Model names in paths: each is one segment, which leads nowhere else."""

import unicodedata
from typing import Final
from urllib.parse import quote

from extproc.conversation.errors import ClientError

#: What google-genai 3.4 refuses in a model's name (``..``, ``?`` and ``&``), and ``#``, with which a path ends as well
#: (2026-11-22). No vendor has an id with one of them.
_STRANGE: Final = ("?", "&", "#")
#: What proxies and clients take away before they read a path, wherever they find it between slashes.
_DOTS: Final = frozenset({".", ".."})


def checked_segment(model: str, *, safe: str = "") -> str:
    """``model`` percent-encoded but for ``safe``, and for letters and digits.

    Raises ``ClientError`` (400, param ``model``) naming the problem for what would lead to another path, or can be no
    name at all.
    """
    check_name(model)
    return quote(model, safe=safe)


def check_name(model: str) -> None:
    """Raises ``ClientError`` as ``checked_segment``."""
    problem = _maybe_problem(model)
    if problem is not None:
        raise ClientError(f"model: {problem}; use the name of a model of this backend", param="model")


def _maybe_problem(model: str) -> str | None:
    if not model:
        return "the name is empty"
    if any(part in _DOTS for part in model.replace("\\", "/").split("/")):
        return "the name holds '.' or '..' as a path has them"
    for mark in _STRANGE:
        if mark in model:
            return f"the name holds {mark!r}"
    if not model.isprintable() and any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in model):
        return "the name holds a control character, or half of a surrogate pair"
    return None
