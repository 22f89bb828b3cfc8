"""Citations: one shape in requests, answers and streams (botocore 1.44 ``Citation``, ``CitationsDelta``).

``documentIndex`` counts the documents of the request, ``searchResultIndex`` its search results; what ``start`` and
``end`` count is said by the member's name.
"""

from collections.abc import Sequence
from typing import Any, Literal

from extproc.conversation.request import Citation, Text
from extproc.dialects.bedrock.shapes import CitationShape, LocationShape, SpanShape

_Kind = Literal["char", "page", "block", "search_result"]
_MEMBERS = {"char": "documentChar", "page": "documentPage", "block": "documentChunk"}


def cited_text(text: Text) -> dict[str, Any]:
    """Text of an earlier answer with its sources, as a ``CitationsContentBlock``."""
    return {
        "citationsContent": {
            "content": [{"text": text.text}],
            "citations": [_written(citation) for citation in text.citations],
        }
    }


def read_citations(citations: Sequence[CitationShape]) -> tuple[Citation, ...]:
    """All that say where they point to."""
    return tuple(known for citation in citations if (known := maybe_citation(citation)) is not None)


def maybe_citation(citation: CitationShape) -> Citation | None:
    """None when it points nowhere that we know."""
    text = "".join(content.text for content in citation.source_content)
    location = citation.location or LocationShape()
    if (web := location.web) is not None:
        return Citation("web", text, citation.title, web.url or citation.source)
    if (found := location.search_result_location) is not None:
        return _spanned("search_result", text, citation, found, found.search_result_index)
    spans: tuple[tuple[SpanShape | None, _Kind], ...] = (
        (location.document_char, "char"),
        (location.document_page, "page"),
        (location.document_chunk, "block"),
    )
    return next(
        (_spanned(kind, text, citation, span, span.document_index) for span, kind in spans if span is not None), None
    )


def _spanned(kind: _Kind, text: str, citation: CitationShape, span: SpanShape, of: int | None) -> Citation:
    return Citation(kind, text, citation.title, citation.source, of, span.start, span.end)


def _written(citation: Citation) -> dict[str, Any]:
    """A ``Citation``; one whose place is not known says what it knows."""
    written: dict[str, Any] = {}
    if citation.title is not None:
        written["title"] = citation.title
    if citation.kind in {"search_result", "web"} and citation.url is not None:
        written["source"] = citation.url
    if citation.cited_text:
        written["sourceContent"] = [{"text": citation.cited_text}]
    if (location := _location(citation)) is not None:
        written["location"] = location
    return written


def _location(citation: Citation) -> dict[str, Any] | None:
    if citation.kind == "web":
        return None if citation.url is None else {"web": {"url": citation.url}}
    span = {"start": citation.start, "end": citation.end}
    if citation.kind == "search_result":
        member, span = "searchResultLocation", {"searchResultIndex": citation.document, **span}
    else:
        member, span = _MEMBERS[citation.kind], {"documentIndex": citation.document, **span}
    known = {name: value for name, value in span.items() if value is not None and value >= 0}
    return {member: known} if known else None
