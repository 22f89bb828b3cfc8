"""Code that Gemini wrote and ran itself, and what came of it: text in a fence, as clients know nothing else of it.

``executableCode`` is ``{"language": "PYTHON", "code"}`` and ``codeExecutionResult`` is ``{"outcome", "output"}``
(google-genai 3.4 ``types``, 2026-11-22).
"""

import re
from typing import Any, Final

_FENCES: Final = re.compile(r"`{3,}")
_SHORTEST: Final = "```"
_LANGUAGE: Final = re.compile(r"[A-Za-z]{1,20}")


def maybe_fenced(code: Any, result: Any) -> str | None:
    """The text for the one of the two that is there, None when it says nothing that can be read."""
    if isinstance(code, dict):
        language = code.get("language")
        known = language if isinstance(language, str) and _LANGUAGE.fullmatch(language) else ""
        return _maybe_text(code.get("code"), known.lower())
    return _maybe_text(result.get("output"), "") if isinstance(result, dict) else None


def _maybe_text(inside: Any, language: str) -> str | None:
    if not isinstance(inside, str) or not inside:
        return None
    longest = max((len(found) for found in _FENCES.findall(inside)), default=0)
    fence = _SHORTEST if longest == 0 else "`" * (longest + 1)
    return f"\n{fence}{language}\n{inside.removesuffix(chr(10))}\n{fence}\n"
