"""Citations, the same objects in requests, answers and streams.

Source: anthropic-python 2.12 ``types/text_citation`` and ``types/text_citation_param``, read 2026-11-22.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from extproc.conversation.request import Citation

_Kind = Literal["web", "char", "page", "block", "search_result"]
_KINDS: Final[Mapping[str, _Kind]] = {
    "char_location": "char",
    "page_location": "page",
    "content_block_location": "block",
    "web_search_result_location": "web",
    "search_result_location": "search_result",
}
#: How the members that hold the place are called.
_PLACES: Final[Mapping[_Kind, tuple[str, str]]] = {
    "char": ("start_char_index", "end_char_index"),
    "page": ("start_page_number", "end_page_number"),
    "block": ("start_block_index", "end_block_index"),
    "search_result": ("start_block_index", "end_block_index"),
}
_TYPES: Final = {kind: word for word, kind in _KINDS.items()}


def maybe_citation(value: Any) -> Citation | None:
    """A citation object; None for one of a kind that is not known, or that lacks what makes it one."""
    if not isinstance(value, dict):
        return None
    kind = _KINDS.get(_text(value, "type") or "")
    if kind is None:
        return None
    start, end = (_whole(value, name) for name in _PLACES.get(kind, ("", "")))
    of_search = kind == "search_result"
    return Citation(
        kind,
        cited_text=_text(value, "cited_text") or "",
        title=_text(value, "document_title") or _text(value, "title"),
        url=_text(value, "source" if of_search else "url"),
        document=_whole(value, "search_result_index" if of_search else "document_index"),
        start=start,
        end=end,
        token=_text(value, "encrypted_index"),
    )


def maybe_written(citation: Citation) -> dict[str, Any] | None:
    """The citation object; None when what the kind demands is not known."""
    kind = citation.kind
    written: dict[str, Any] = {"type": _TYPES[kind], "cited_text": citation.cited_text}
    if kind == "web":
        if citation.url is None:
            return None
        # The index is Anthropic's own; clients want the member, and no other maker has one.
        return {**written, "url": citation.url, "title": citation.title, "encrypted_index": citation.token or ""}
    if citation.start is None or citation.end is None or citation.document is None:
        return None
    first, last = _PLACES[kind]
    written |= {first: citation.start, last: citation.end}
    if kind == "search_result":
        source = citation.url or ""
        return {**written, "search_result_index": citation.document, "source": source, "title": citation.title}
    return {**written, "document_index": citation.document, "document_title": citation.title}


def _text(value: Mapping[str, Any], name: str) -> str | None:
    found = value.get(name)
    return found if isinstance(found, str) else None


def _whole(value: Mapping[str, Any], name: str) -> int | None:
    found = value.get(name)
    return found if type(found) is int else None
