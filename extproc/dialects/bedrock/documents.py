"""Documents and search results.

Names (botocore 1.44 ``DocumentBlock``; vercel/ai #20365, aws-samples/generative-ai-use-cases #1671): 1 to 200 ASCII
letters, digits, single spaces, hyphens, parentheses and brackets, and none twice in a request. A name depends on the
documents before it only, so that a longer conversation begins with the same bytes.
"""

import re
from collections.abc import Sequence
from typing import Any

from extproc.conversation.errors import Loss, Refusal
from extproc.conversation.request import Document, Image, SearchResult, Text
from extproc.dialects.bedrock.media import NOT_STORED

_FORMATS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_SUFFIXES = {**{word: word for word in _FORMATS.values()}, "htm": "html", "markdown": "md", "text": "txt"}
_WANTED = "Bedrock takes PDF, CSV, Word, Excel, HTML, text and Markdown documents"
_INLINE = "send the file itself as a data URI, or its text"
_UNFIT = re.compile(r"[^A-Za-z0-9()\[\]\- ]+")
_SPACES = re.compile(r" {2,}")
_MAX_NAME = 200
#: Of a name, what stays whatever number comes behind it.
_STEM = _MAX_NAME - 8
#: The most documents that one request is written with. A guess: the service takes a handful in a message.
MAX_DOCUMENTS = 1_000
_UNNAMED = "document"


class DocumentWriter:
    """Writes the documents of one request, in order: each name is given once."""

    def __init__(self, losses: list[Loss], *, stored_files: bool) -> None:
        self._losses = losses
        self._stored_files = stored_files
        self._names: set[str] = set()
        #: By the stem of a name that was given already, the number that was tried last.
        self._numbers: dict[str, int] = {}

    def write(self, document: Document) -> dict[str, Any]:
        """A ``DocumentBlock``.

        Raises ``Refusal`` for what has to be fetched, formats that Bedrock lacks, and more than ``MAX_DOCUMENTS``.
        """
        if len(self._names) == MAX_DOCUMENTS:
            raise Refusal(document.path, f"at most {MAX_DOCUMENTS} documents are taken in a request")
        source, kind = _source(document, stored_files=self._stored_files)
        block: dict[str, Any] = {"name": self._name(document), "source": source}
        if kind is not None:
            block["format"] = kind
        if document.context and document.context.strip():
            block["context"] = document.context
        if document.citations:
            block["citations"] = {"enabled": True}
        return {"document": block}

    def _name(self, document: Document) -> str:
        stem, suffix = _split(document.filename or "")
        given = stem if suffix in _SUFFIXES else document.filename or ""
        fit = _SPACES.sub(" ", _UNFIT.sub(" ", given)).strip()[:_MAX_NAME].strip()
        name = self._numbered(fit or _UNNAMED)
        self._names.add(name)
        if given and name != given:
            self._losses.append(
                Loss(document.path, "approx", "Bedrock takes no such document name; sent under another")
            )
        return name

    def _numbered(self, fit: str) -> str:
        """The name itself, or with the next number that none before has."""
        name, stem = fit, fit[:_STEM]
        while name in self._names:
            number = self._numbers[stem] = self._numbers.get(stem, 1) + 1
            tail = f" {number}"
            name = fit[: _MAX_NAME - len(tail)].rstrip() + tail
        return name


def write_search_result(result: SearchResult) -> dict[str, Any]:
    """A ``SearchResultBlock``; raises ``Refusal`` for one that says nothing."""
    content = _texts(result.blocks)
    if not content:
        raise Refusal(result.path, "Bedrock takes no search result without text")
    block: dict[str, Any] = {"source": result.source, "title": result.title, "content": content}
    if result.citations:
        block["citations"] = {"enabled": True}
    return {"searchResult": block}


def _source(document: Document, *, stored_files: bool) -> tuple[dict[str, Any], str | None]:
    """The ``source`` of a document and its ``format``."""
    if document.data is not None:
        return {"bytes": document.data}, _format(document)
    if document.text is not None:
        if not document.text.strip():
            raise Refusal(document.path, "Bedrock takes no empty document")
        return {"text": document.text}, "txt"
    if document.blocks is not None:
        return {"content": _document_texts(document, document.blocks)}, None
    if document.url is not None and document.url.startswith("s3://"):
        if not stored_files:
            raise Refusal(document.path, f"{NOT_STORED}; {_INLINE}")
        return {"s3Location": {"uri": document.url}}, _format(document, document.url)
    if document.url is not None:
        raise Refusal(document.path, f"Bedrock fetches no remote documents; {_INLINE}")
    raise Refusal(document.path, f"Bedrock knows no stored files; {_INLINE}")


def _document_texts(document: Document, blocks: Sequence[Text | Image]) -> list[dict[str, str]]:
    texts = [block for block in blocks if isinstance(block, Text)]
    if len(texts) != len(blocks):
        raise Refusal(document.path, "Bedrock takes no images inside a document; send them beside it")
    if not (content := _texts(texts)):
        raise Refusal(document.path, "Bedrock takes no empty document")
    return content


def _texts(blocks: Sequence[Text]) -> list[dict[str, str]]:
    return [{"text": block.text} for block in blocks if block.text.strip()]


def _format(document: Document, url: str = "") -> str:
    """By media type, else by the end of the name."""
    kind = _FORMATS.get((document.media_type or "").lower())
    kind = kind or _SUFFIXES.get(_split(document.filename or "")[1]) or _SUFFIXES.get(_split(url)[1])
    if kind is None:
        raise Refusal(document.path, f"{_WANTED}; convert the document, or name its true media type")
    return kind


def _split(name: str) -> tuple[str, str]:
    """A file's name without its suffix, and the suffix in lower case; nothing when it has none."""
    stem, dot, suffix = name.rpartition(".")
    return (stem, suffix.lower()) if dot and stem else (name, "")
