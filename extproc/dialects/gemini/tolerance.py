"""An answer of which some member is not what it should be: all of it that can be read.

Proto3 JSON allows ``"0"`` where a number is due and ``"-Infinity"`` where a float is
(https://protobuf.dev/programming-guides/json/, 2026-11-22). This is the slow way, for an answer that the strict decoder
has refused.
"""

from typing import Any, Final, TypeVar

import msgspec

from extproc.dialects.gemini.shapes import Answer, Candidate, Content, Shape

S = TypeVar("S", bound=Shape)

_NOTHING: Final = msgspec.Raw(b"null")
#: Without these there is no answer: they are as they should be, or nothing is read.
_ESSENTIAL: Final = frozenset({"candidates", "content", "error"})


class _Optional:
    """The members of a shape that can be missing, each read by itself."""

    def __init__(self, shape: type[Shape]) -> None:
        self._decoders = {
            field.name: (field.encode_name, msgspec.json.Decoder(field.type | None, strict=False))
            for field in msgspec.structs.fields(shape)
            if field.name not in _ESSENTIAL
        }

    def loose(self, name: str, **essential: Any) -> type[msgspec.Struct]:
        """The shape with these members as they come."""
        members = [(member, msgspec.Raw, _NOTHING) for member in self._decoders]
        return msgspec.defstruct(
            name, [*((member, kind, None) for member, kind in essential.items()), *members], rename="camel"
        )

    def read(self, told: msgspec.Struct, path: str, lost: list[str]) -> dict[str, Any]:
        """What can be read of them; the rest is as if it were missing, and its path is listed."""
        found: dict[str, Any] = {}
        for name, (wire, decoder) in self._decoders.items():
            try:
                found[name] = decoder.decode(getattr(told, name))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                lost.append(f"{path}{wire}")
        return found


_CANDIDATE: Final = _Optional(Candidate)
_ANSWER: Final = _Optional(Answer)
_LOOSE_CANDIDATE: Final = _CANDIDATE.loose("LooseCandidate", content=Content | None)
_LOOSE_ANSWER: Final = _ANSWER.loose("LooseAnswer", candidates=list[msgspec.Raw] | None, error=Any)
_CANDIDATE_DECODER: Final = msgspec.json.Decoder(_LOOSE_CANDIDATE)
_ANSWER_DECODER: Final = msgspec.json.Decoder(_LOOSE_ANSWER)


def read_tolerantly(piece: bytes) -> tuple[Answer, list[str]]:
    """The answer, and the paths of what was left out of it; raises as msgspec does when too much of it is wrong."""
    lost: list[str] = []
    told: Any = _ANSWER_DECODER.decode(piece)
    candidates = None if told.candidates is None else tuple(_candidate(raw, lost) for raw in told.candidates)
    return Answer(candidates=candidates, error=told.error, **_ANSWER.read(told, "", lost)), lost


def _candidate(raw: msgspec.Raw, lost: list[str]) -> Candidate:
    told: Any = _CANDIDATE_DECODER.decode(raw)
    return Candidate(content=told.content, **_CANDIDATE.read(told, "candidates[].", lost))
