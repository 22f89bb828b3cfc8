"""Content parts, and prompt cache breakpoints on them.

Facts: openai-python 3.54 ``types/chat/chat_completion_content_part_*``, and
developers.openai.com/api/docs/guides/file-inputs (PDF only, inline only) and .../prompt-caching, read 2026-11-22.
"""

from typing import Any, Final

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Loss, Refusal
from extproc.conversation.request import Audio, Cache, Document, Image, SearchResult, Text

_PDF: Final = "application/pdf"
_UNNAMED: Final = "document.pdf"
#: The lifetimes that the API knows; another maker's word is left out, and the default (30 minutes) holds.
_LIFETIMES: Final = frozenset({"30m", "12h"})
_MAX_MARKS: Final = 4

Part = dict[str, Any]


def text_part(text: str) -> Part:
    """A part of text."""
    return {"type": "text", "text": text}


class CacheMarks:
    """The breakpoints of one request. A model that caches by itself, without being told, gets none of them."""

    def __init__(self, capabilities: Capabilities) -> None:
        self.wanted = capabilities.prompt_cache
        self._marked: list[Part] = []

    def marked(self, part: Part, cache: Cache | None) -> Part:
        """The part, with its breakpoint where there is one."""
        if cache is not None and self.wanted:
            mark = {"mode": "explicit"}
            if cache.ttl in _LIFETIMES:
                mark["ttl"] = cache.ttl
            part["prompt_cache_breakpoint"] = mark
            self._marked.append(part)
        return part

    def settle(self) -> None:
        """Keeps the last ones, as many as the API takes."""
        for part in self._marked[:-_MAX_MARKS]:
            del part["prompt_cache_breakpoint"]


class PartWriter:
    """Writes blocks as parts; raises ``Refusal`` for what the format has no place for."""

    def __init__(self, marks: CacheMarks, losses: list[Loss], *, fetches_urls: bool) -> None:
        self._marks = marks
        self._losses = losses
        self._fetches_urls = fetches_urls

    def text(self, text: Text) -> Part:
        """Its text, with its breakpoint."""
        return self._marks.marked(text_part(text.text), text.cache)

    def image(self, image: Image) -> Part:
        """Inline as a data URI, or its URL where the upstream loads that itself."""
        if image.file_id is not None:
            raise Refusal(image.path, "a file id is known to its maker only; send the image itself")
        if image.url is not None and not self._fetches_urls:
            raise Refusal(image.path, "the upstream loads nothing from the web; send the image as base64")
        url = image.url if image.url is not None else f"data:{image.media_type};base64,{image.data}"
        source = {"url": url} if image.detail is None else {"url": url, "detail": image.detail}
        return self._marks.marked({"type": "image_url", "image_url": source}, image.cache)

    def audio(self, audio: Audio) -> Part:
        """Inline, which is all that there is."""
        return {"type": "input_audio", "input_audio": {"data": audio.data, "format": audio.format}}

    def document(self, document: Document) -> list[Part]:
        """A PDF as a file, anything that is text as text, under its title and context."""
        if document.citations:
            self._losses.append(Loss(document.path, "drop", "citations: the upstream does not cite documents"))
        if document.data is not None:
            if document.media_type != _PDF:
                raise Refusal(document.path, "the upstream takes documents as PDF or as text")
            source = {
                "file_data": f"data:{_PDF};base64,{document.data}",
                "filename": document.filename or _UNNAMED,
            }
            context = [text_part(f"Context: {document.context}")] if document.context else []
            return [*context, self._marks.marked({"type": "file", "file": source}, document.cache)]
        if document.url is not None:
            raise Refusal(document.path, "the upstream loads no documents from the web; send the PDF as base64")
        if document.file_id is not None:
            raise Refusal(document.path, "a file id is known to its maker only; send the document itself")
        lines = [f"Document: {document.filename}"] if document.filename else ["Document:"]
        lines += [f"Context: {document.context}"] if document.context else []
        return self._under("\n".join(lines), document.text, document.blocks or (), document.cache)

    def search_result(self, result: SearchResult) -> list[Part]:
        """Its text, under its title and source."""
        if result.citations:
            self._losses.append(Loss(result.path, "drop", "citations: the upstream does not cite search results"))
        return self._under(f"Search result: {result.title}\nSource: {result.source}", None, result.blocks, result.cache)

    def _under(
        self, heading: str, text: str | None, blocks: tuple[Text | Image, ...] | tuple[Text, ...], cache: Cache | None
    ) -> list[Part]:
        parts = [text_part(heading if text is None else f"{heading}\n\n{text}")]
        for block in blocks:
            if isinstance(block, Image):
                parts.append(self.image(block))
            elif block.text:
                parts.append(text_part(block.text))
        self._marks.marked(parts[-1], cache)
        return parts
