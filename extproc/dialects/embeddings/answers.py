"""What all upstreams' modules share: limits, losses, and the check that there is a vector for each text."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from extproc.conversation.embeddings import EmbeddingsRequest, EmbeddingsResponse
from extproc.conversation.errors import ApiError, Kind, Loss, Refusal, UpstreamError
from extproc.conversation.response import Usage, maybe_count

T = TypeVar("T")


def check_limit(request: EmbeddingsRequest, limit: int, model_words: str) -> None:
    """Raises ``Refusal`` for more texts than ``limit``."""
    count = len(request.inputs)
    if count > limit:
        texts = "one text" if limit == 1 else f"at most {limit} texts"
        raise Refusal("input", f"{model_words} takes {texts} a request, and this one holds {count}; send several")


def check_dimensions(request: EmbeddingsRequest, sizes: Sequence[int], model_words: str) -> None:
    """Raises ``Refusal`` for a length that the model's vectors cannot have."""
    if request.dimensions is not None and request.dimensions not in sizes:
        words = ", ".join(str(size) for size in sizes)
        raise Refusal(
            "dimensions", f"{model_words} makes vectors of {words} numbers; use one of these, or leave it out"
        )


def common_losses(request: EmbeddingsRequest, where: str) -> list[Loss]:
    """What no upstream has a place for; raises ``Refusal`` for what the answer cannot do without."""
    losses = [Loss("user", "drop", f"{where} has no user")] if request.user is not None else []
    for extra in request.extras:
        if extra.essential:
            raise Refusal(extra.path, f"{where} has no counterpart; leave it out")
        if not extra.harmless:
            losses.append(Loss(extra.path, "drop", f"{where} has no place for it"))
    return losses


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The answer; raises ``UpstreamError`` (502) when it is another one."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_answer(f"it cannot be read: {error}") from error


def bad_answer(problem: str) -> UpstreamError:
    """The upstream said 200, but ``problem``."""
    return UpstreamError(ApiError(502, Kind.SERVER, f"the upstream's answer holds no embeddings: {problem}"))


def answered(request: EmbeddingsRequest, vectors: Sequence[list[float]], tokens: Any) -> EmbeddingsResponse:
    """The neutral answer; raises ``UpstreamError`` unless there is a vector, and not an empty one, for each text."""
    if len(vectors) != len(request.inputs):
        raise bad_answer(f"{len(request.inputs)} texts were sent and {len(vectors)} vectors came")
    if not all(vectors):
        raise bad_answer("a vector in it is empty")
    count = maybe_count(tokens)
    return EmbeddingsResponse(tuple(vectors), Usage(input_tokens=count, total_tokens=count))


def bedrock_tokens(headers: Mapping[str, str]) -> int | None:
    """The count of input tokens that InvokeModel has in a header (unconfirmed: no document of AWS's says so)."""
    told = headers.get("x-amzn-bedrock-input-token-count", "")
    return int(told) if told.isascii() and told.isdigit() and len(told) < _MAX_DIGITS else None


_MAX_DIGITS = 16
