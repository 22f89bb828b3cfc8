"""How Gemini's signatures travel in neutral thinking blocks.

Gemini signs what it says and calls (``thoughtSignature`` beside a part's data), not what it thinks, and wants each
signature back on the very part it was on. In the neutral form it is a block without text before the one it signs.
Two things need a note beside it, which begins with a mark that no base64 holds:

* a thought without a signature may still go back, so it is signed with the bare mark: what came unsigned otherwise is
  nobody's, and would take all other reasoning with it;
* a signature that stood on an empty text part of its own, and before another part, is not that part's.
"""

from typing import Final

_MARK: Final = "~"

#: Signs a thought that Gemini did not sign.
UNSIGNED_THOUGHT: Final = _MARK

#: Tells Gemini not to look for a signature that no one has, because the call is another model's
#: (https://ai.google.dev/gemini-api/docs/thought-signatures, 2026-11-22). Unconfirmed on Vertex AI, where the field is
#: said to be bytes and this is plain text; ``checksSignatures: false`` on the backend leaves it out.
SKIP_VALIDATION: Final = "skip_thought_signature_validator"


def alone(signature: str) -> str:
    """The signature of an empty text part that another part follows."""
    return _MARK + signature


def is_noted(signature: str) -> bool:
    """Whether it has the mark, and so is none that stands beside a thought."""
    return signature.startswith(_MARK)


def stood_alone(signature: str) -> str | None:
    """The wire's signature when it belongs to an empty text part of its own; None when to the part that follows."""
    return signature.removeprefix(_MARK) if signature.startswith(_MARK) else None
