"""The neutral form of a request to embed texts, and of its answer."""

from typing import Literal

from msgspec import Struct

from extproc.conversation.request import Extra
from extproc.conversation.response import NO_USAGE, Usage

Purpose = Literal[
    "query", "document", "classification", "clustering", "similarity", "question", "fact", "code", "unspecified"
]


class EmbeddingsRequest(Struct, frozen=True):
    """Texts to embed.

    Attributes:
        model: the client's name for the model.
        inputs: the texts, in order; none is empty.
        dimensions: how long the vectors shall be, None for as long as the model makes them.
        base64: whether the client wants each vector as base64 of little-endian float32 instead of numbers.
        purpose: what the vectors are for, where the client says so in an extension of the API.
        purpose_path: the member that said so.
        truncate: which end of a text that is too long may be cut off; None leaves it to the model.
    """

    model: str
    inputs: tuple[str, ...]
    dimensions: int | None = None
    base64: bool = False
    purpose: Purpose = "unspecified"
    purpose_path: str = "input_type"
    truncate: Literal["none", "start", "end"] | None = None
    user: str | None = None
    extras: tuple[Extra, ...] = ()


class EmbeddingsResponse(Struct, frozen=True):
    """One vector for each input, in the order of the inputs. ``model`` is the upstream's word, if it has one."""

    vectors: tuple[list[float], ...]
    usage: Usage = NO_USAGE
    model: str | None = None
