"""OpenAI's ``/v1/embeddings`` as clients speak it.

Facts: openai-python 3.54 ``types/embedding_create_params`` and ``create_embedding_response``, read 2026-11-22. The SDK
asks for base64 unless told otherwise. ``input_type`` and ``task_type`` are the common extensions that say what a vector
is for, in Cohere's words and Google's; ``truncate`` is Cohere's, ``auto_truncate`` Google's.
"""

import struct
from base64 import b64encode
from typing import Any, Final, Literal

import msgspec

from extproc.conversation.embeddings import EmbeddingsRequest, EmbeddingsResponse, Purpose
from extproc.conversation.errors import ApiError, Kind, UpstreamError
from extproc.dialects.body import parse
from extproc.dialects.contract import EmbeddingsClient, Identity
from extproc.dialects.fields import Members, missing, unknown_word, wrong_type, wrong_value

#: OpenAI's own limit.
MAX_INPUTS: Final = 2_048

_FORMATS: Final = {"float": False, "base64": True}
_COHERE: Final[dict[str, Purpose]] = {
    "search_query": "query",
    "search_document": "document",
    "classification": "classification",
    "clustering": "clustering",
    "query": "query",
    "passage": "document",
}
_GOOGLE: Final[dict[str, Purpose]] = {
    "RETRIEVAL_QUERY": "query",
    "RETRIEVAL_DOCUMENT": "document",
    "SEMANTIC_SIMILARITY": "similarity",
    "CLASSIFICATION": "classification",
    "CLUSTERING": "clustering",
    "QUESTION_ANSWERING": "question",
    "FACT_VERIFICATION": "fact",
    "CODE_RETRIEVAL_QUERY": "code",
}
_TRUNCATIONS: Final[dict[str, Literal["none", "start", "end"]]] = {
    "NONE": "none",
    "START": "start",
    "LEFT": "start",
    "END": "end",
    "RIGHT": "end",
}
_KNOWN: Final = frozenset(
    {
        "model",
        "input",
        "dimensions",
        "encoding_format",
        "user",
        "input_type",
        "task_type",
        "truncate",
        "auto_truncate",
    }
)


class OpenAIEmbeddings:
    """The front end; see ``extproc.dialects.contract.EmbeddingsClient``."""

    name = "openai"

    def read_request(self, body: bytes) -> EmbeddingsRequest:
        """Texts alone: token ids are those of one model, and mean nothing to another."""
        root = parse(body)
        purpose, path = _purpose(root)
        return EmbeddingsRequest(
            model=root.name("model"),
            inputs=_inputs(root),
            dimensions=root.maybe_integer("dimensions", 1),
            base64=_is_base64(root),
            purpose=purpose,
            purpose_path=path,
            truncate=_truncate(root),
            user=root.maybe_text("user"),
            extras=tuple(root.unknown(_KNOWN)),
        )

    def write_response(self, response: EmbeddingsResponse, request: EmbeddingsRequest, identity: Identity) -> bytes:
        """A list of vectors; counts that the upstream does not give are 0, as clients want numbers."""
        data = [
            {"object": "embedding", "index": index, "embedding": _packed(vector) if request.base64 else vector}
            for index, vector in enumerate(response.vectors)
        ]
        prompt = response.usage.input_tokens or 0
        usage = {"prompt_tokens": prompt, "total_tokens": response.usage.total_tokens or prompt}
        return msgspec.json.encode({"object": "list", "data": data, "model": identity.model, "usage": usage})


def _inputs(root: Members) -> tuple[str, ...]:
    value, path = root.values.get("input"), root.at("input")
    if value is None:
        raise missing(path, "a string or an array of strings")
    if isinstance(value, str):
        return (_input(value, path),)
    if not isinstance(value, list):
        raise wrong_type(path, "a string or an array of strings", value)
    if not value:
        raise wrong_value(path, "must hold at least one text")
    if len(value) > MAX_INPUTS:
        raise wrong_value(path, f"holds {len(value)} texts; at most {MAX_INPUTS} are taken")
    if isinstance(value[0], int):
        return (_input(value, path),)
    return tuple(_input(entry, f"{path}[{index}]") for index, entry in enumerate(value))


def _input(value: Any, path: str) -> str:
    if isinstance(value, list) and all(type(entry) is int for entry in value):
        raise wrong_value(path, "token ids are those of one model's tokenizer, and this backend has another; send text")
    if not isinstance(value, str):
        raise wrong_type(path, "a string", value)
    if not value:
        raise wrong_value(path, "must not be empty")
    return value


def _is_base64(root: Members) -> bool:
    word = root.maybe_text("encoding_format")
    if word is None:
        return False
    if word not in _FORMATS:
        raise unknown_word(root.at("encoding_format"), word, _FORMATS)
    return _FORMATS[word]


def _purpose(root: Members) -> tuple[Purpose, str]:
    """What the vectors are for, and the member that says it."""
    asked = root.maybe_word("input_type", _COHERE)
    task = root.maybe_word("task_type", _GOOGLE)
    if asked is not None and task is not None and asked != task:
        raise wrong_value("task_type", "says another purpose than input_type; keep one of them")
    if task is not None:
        return task, "task_type"
    return asked or "unspecified", "input_type"


def _truncate(root: Members) -> Literal["none", "start", "end"] | None:
    word, automatic = root.maybe_word("truncate", _TRUNCATIONS), root.maybe_boolean("auto_truncate")
    if word is not None or automatic is None:
        return word
    return "end" if automatic else "none"


def _packed(vector: list[float]) -> str:
    """Base64 of little-endian float32."""
    try:
        return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except OverflowError as error:
        message = "the upstream's vector holds a number that no float32 can"
        raise UpstreamError(ApiError(502, Kind.SERVER, message)) from error


CLIENT: Final[EmbeddingsClient] = OpenAIEmbeddings()
